#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the others lose while a third replica joins over a slow line.

    tests/bench/join_bench.py [--mbit 20] [--unit-ms 200] [--microbatches 16] [--runs 3]      needs root; says so and exits 0 without

Preset tiny in two stages of two replicas, in one network namespace; a fifth node joins from another, over a veth pair that tbf limits to
--mbit both ways. Engines wait instead of computing (tests/support/paced_engine.cpp): two cores would measure the scheduler. `ratio` is the
throughput of the steps between the joiner's start and its first step of work, over that of the steps before; `join_seconds` is that time.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile, time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import programs

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--mbit", type=float, default=20)
p.add_argument("--unit-ms", type=float, default=200, help="forward and backward of a microbatch in one stage")
p.add_argument("--microbatches", type=int, default=16)
p.add_argument("--before", type=int, default=12, help="steps without the joiner, of which two warm up")
p.add_argument("--runs", type=int, default=3)
a = p.parse_args()
SHAPE = dict(hidden=128, layers=4, heads=4, kv_heads=4, ffn=344, vocab=256, sequence=128, sequences=8, microbatches=a.microbatches,
             stages=2, replicas=2, steps=10_000, epoch_steps=20)
HERE, THERE = (f"coshard-join-{os.getpid()}a", "veth-here", "198.51.100.5"), (f"coshard-join-{os.getpid()}b", "veth-there", "198.51.100.6")


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def make_spaces():
    for space, _, _ in (HERE, THERE):
        ip("netns", "add", space)
    ip("link", "add", HERE[1], "netns", HERE[0], "type", "veth", "peer", "name", THERE[1], "netns", THERE[0])
    for space, link, address in (HERE, THERE):
        ip("-n", space, "addr", "add", address + "/24", "dev", link)
        ip("-n", space, "link", "set", link, "up")
        ip("-n", space, "link", "set", "lo", "up")
        subprocess.run(["tc", "-n", space, "qdisc", "add", "dev", link, "root", "tbf", "rate", f"{a.mbit}mbit", "burst", "32kbit",
                        "latency", "400ms"], check=True)


def inside(host, *command):
    return ["ip", "netns", "exec", host[0], *command]


def steps_of(folder):
    path = folder / "round" / "metrics.jsonl"
    return [json.loads(line)["seconds"] for line in path.read_text().splitlines()] if path.exists() else []


def state_of(node):
    path = node / "status.json"
    return json.loads(path.read_text())["state"] if path.exists() else ""


def measure(folder, manifest):
    (folder / "round.toml").write_text(programs.round_toml(SHAPE, manifest).replace("replicas = 2", "replicas = 2\nreplicas_max = 3"))
    os.environ["COSHARD_PACE"] = f"{a.unit_ms / 3} {a.unit_ms * 2 / 3} 0 1 {folder / 'nobody-is-slow'}"
    bin_dir = programs.build_dir() / "bin"
    coordinator = inside(HERE, bin_dir / "coshard-coordinator", "--round", folder / "round.toml", "--dir", folder / "round", "--listen",
                         f"tcp://{HERE[2]}:0")
    node = lambda host, name: inside(host, bin_dir / "coshard-paced-node", "--join", folder / "round" / "invitation", "--dir", folder / name,
                                     "--data", pathlib.Path(manifest).parent, "--listen", f"tcp://{host[2]}:0", "--device", "cpu",
                                     "--threads", "1")
    with programs.running([("coordinator", coordinator)], folder):
        programs.wait_for(lambda: (folder / "round" / "invitation").exists(), "the coordinator's invitation")
        with programs.running([(f"node-{i}", node(HERE, f"node-{i}")) for i in range(4)], folder):
            programs.wait_for(lambda: len(steps_of(folder)) >= a.before, f"{a.before} steps", seconds=300)
            first, began = len(steps_of(folder)), time.monotonic()
            with programs.running([("joiner", node(THERE, "joiner"))], folder):
                programs.wait_for(lambda: state_of(folder / "joiner") == "training", "the joiner to train", seconds=300)
                last, joined = len(steps_of(folder)), time.monotonic()
    steps = steps_of(folder)
    alone, joining = steps[2:first], steps[first:last]
    return dict(bench="join", mbit=a.mbit, step_seconds=round(statistics.mean(alone), 3), joining_step_seconds=round(statistics.mean(joining), 3),
                steps_while_joining=len(joining), slowest_step=round(max(joining), 3), join_seconds=round(joined - began, 1),
                ratio=round(statistics.mean(alone) / statistics.mean(joining), 3))


if os.geteuid() != 0:
    print("skipped: making network namespaces needs root")
    sys.exit(0)
try:
    make_spaces()
    for _ in range(a.runs):
        with tempfile.TemporaryDirectory(prefix="coshard-join-") as name:
            scratch = pathlib.Path(name)
            print(json.dumps(measure(scratch, programs.prepare_data(scratch, 400_000))), flush=True)
finally:
    for space, _, _ in (HERE, THERE):
        subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)
