#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Averaging among the replicas of a stage: ours over CURVE, what CURVE alone costs, the same in clear, and gloo.

    tests/bench/averaging_bench.py [--repeats 3] [--steps 12] [--replicas 2 3] [--mib 1 16 64]

One process per replica, all on this machine. Runs alternate, so that all see the same machine; milliseconds are the slowest replica's
median over steps, then the median over repeats; ratios are taken within this run. The split is processor time per step, all replicas
together: the passes over the bytes at their price in this run, encryption and sockets as bare libzmq needs them, and the rest.
"""
import argparse, json, os, pathlib, socket, statistics, subprocess, sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASELINE = pathlib.Path(os.environ.get("COSHARD_SHARED_DIR", ROOT.parent / "shared")) / "bench" / "torch_pipeline.py"
PYTHON = ROOT / ".deps" / "venv" / "bin" / "python"

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--repeats", type=int, default=3)
p.add_argument("--steps", type=int, default=12)
p.add_argument("--replicas", type=int, nargs="+", default=[2, 3])
p.add_argument("--mib", type=int, nargs="+", default=[1, 16, 64])
a = p.parse_args()


def program():
    """averaging_bench of COSHARD_BUILD, else of the first preset that has it."""
    for folder in [os.environ.get("COSHARD_BUILD", "")] + [ROOT / "build" / preset for preset in ("release", "dev", "test")]:
        path = pathlib.Path(folder) / "bin" / "averaging_bench"
        if folder and path.exists():
            return path
    sys.exit("expected averaging_bench in build/dev/bin (or in COSHARD_BUILD); build the preset 'dev' first")


def run(mode, replicas, mib):
    done = subprocess.run([program(), mode, str(replicas), str(mib), str(a.steps)], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def gloo(replicas, mib):
    """The slowest rank's median milliseconds; nothing without the baseline."""
    if not (BASELINE.exists() and PYTHON.exists()):
        return None
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = lambda rank: [PYTHON, BASELINE, "allreduce", "--rank", str(rank), "--world", str(replicas), "--addr", f"127.0.0.1:{port}",
                            "--mib", str(mib), "--steps", str(a.steps)]
    ranks = [subprocess.Popen(command(rank), stdout=subprocess.PIPE, start_new_session=True) for rank in range(replicas)]
    return max(json.loads(rank.communicate()[0].splitlines()[-1])["milliseconds"] for rank in ranks)


def measure(replicas, mib):
    runs = {mode: [] for mode in ("ours", "curve", "plain", "parts", "gloo")}
    for _ in range(a.repeats):
        for mode in ("ours", "curve", "plain", "parts"):
            runs[mode].append(run(mode, replicas, mib))
        runs["gloo"].append(gloo(replicas, mib))
    mid = lambda mode, key: statistics.median(result[key] for result in runs[mode])
    wall = {mode: mid(mode, "milliseconds") for mode in ("ours", "curve", "plain")}
    cpu = {mode: mid(mode, "cpu_milliseconds") for mode in ("ours", "curve", "plain")}
    split = {part: mid("parts", part) for part in ("hashing", "signing", "copying", "adding")}
    split |= {"encryption": cpu["curve"] - cpu["plain"], "sockets": cpu["plain"]}
    split["rest"] = cpu["ours"] - sum(split.values())
    result = dict(bench="averaging", replicas=replicas, mib=mib, runs=a.repeats, milliseconds=wall, cpu_milliseconds=cpu,
                  ratio_to_curve=round(wall["ours"] / wall["curve"], 2), cpu_ratio_to_curve=round(cpu["ours"] / cpu["curve"], 2),
                  curve_to_plain=round(wall["curve"] / wall["plain"], 2), cpu_split={k: round(v, 2) for k, v in split.items()})
    if None not in runs["gloo"]:
        theirs = statistics.median(runs["gloo"])
        result |= dict(gloo_milliseconds=theirs, ratio_to_gloo=round(wall["ours"] / theirs, 2),
                       curve_to_gloo=round(wall["curve"] / theirs, 2))
    return result


for replicas in a.replicas:
    for mib in a.mib:
        print(json.dumps(measure(replicas, mib)), flush=True)
