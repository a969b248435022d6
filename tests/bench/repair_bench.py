#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What losing a replica, or the coordinator for a while, costs: how much longer the step took in which it was killed, or frozen.

    tests/bench/repair_bench.py [--replicas 3] [--repeats 3]

`coshard demo` on loopback, preset tiny, two stages; one replica is killed (its connections end at once) or frozen (nothing ends, it is
silent) in the middle; or the coordinator is killed and started again, or frozen for 8 s. `extra_seconds` is the disturbed step's time, from
commit to commit as a reader of metrics.jsonl sees them (every 5 ms), less the median of the steps before it.
"""
import argparse, json, pathlib, statistics, subprocess, sys, tempfile, time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import programs

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--replicas", type=int, default=3)
p.add_argument("--repeats", type=int, default=3)
p.add_argument("--steps", type=int, default=40)
p.add_argument("--seats", nargs="+", default=["0:0", "1:0", "coordinator"])
a = p.parse_args()


def commits(metrics, process):
    """When each step was seen to be committed, in seconds."""
    seen = []
    while process.poll() is None:
        lines = metrics.read_bytes().count(b"\n") if metrics.exists() else 0
        seen += [time.monotonic()] * (lines - len(seen))
        time.sleep(0.005)
    return seen


def run(scratch, number, disturbance, seat):
    folder = scratch / f"demo-{number}"
    at = a.steps // 2
    process = subprocess.Popen([programs.build_dir() / "bin" / "coshard", "demo", "--stages", "2", "--replicas", str(a.replicas), "--steps",
                                str(a.steps), "--data", scratch / "text.txt", "--dir", folder, disturbance, f"{seat}@{at}"],
                               stdout=subprocess.DEVNULL)
    seen = commits(folder / "metrics.jsonl", process)
    summary = json.loads((folder / "summary.json").read_text())
    assert process.returncode == 0 and summary["steps"] == a.steps and summary["kills"] == 1
    took = [after - before for before, after in zip(seen, seen[1:])]
    before = statistics.median(took[2:at - 1])
    return dict(extra_seconds=round(max(took[at - 1:at + 7]) - before, 3), step_seconds=round(before, 3),
                repaired_microbatches=summary["repaired_microbatches"])


with tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    programs.prepare_data(scratch)
    for disturbance in ("--kill", "--freeze"):
        for seat in a.seats:
            runs = [run(scratch, f"{disturbance}{seat}{i}".replace(":", "-"), disturbance, seat) for i in range(a.repeats)]
            extra = [r["extra_seconds"] for r in runs]
            print(json.dumps(dict(bench="repair", what=disturbance[2:], seat=seat, extra_seconds_median=statistics.median(extra),
                                  extra_seconds=extra, step_seconds=runs[0]["step_seconds"],
                                  repaired_microbatches=[r["repaired_microbatches"] for r in runs])), flush=True)
