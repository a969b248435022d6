#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What losing a replica costs: how much longer the step took in which it was killed, or frozen.

    tests/bench/repair_bench.py [--replicas 3] [--repeats 3]

`coshard demo` on loopback, preset tiny, two stages; one replica is killed (its connections end at once) or frozen (nothing ends, it is
silent) in the middle. `extra_seconds` is the disturbed step's time less the median of the steps before it; `units` is how many units of
work one median step spreads over the surviving replicas, so that what was lost can be told from the wait.
"""
import argparse, json, pathlib, statistics, subprocess, sys, tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import programs

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--replicas", type=int, default=3)
p.add_argument("--repeats", type=int, default=3)
p.add_argument("--steps", type=int, default=40)
a = p.parse_args()


def run(scratch, number, disturbance, seat):
    folder = scratch / f"demo-{number}"
    at = a.steps // 2
    subprocess.run([programs.build_dir() / "bin" / "coshard", "demo", "--stages", "2", "--replicas", str(a.replicas), "--steps", str(a.steps),
                    "--data", scratch / "text.txt", "--dir", folder, disturbance, f"{seat}@{at}"],
                   check=True, stdout=subprocess.DEVNULL)
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((folder / "summary.json").read_text())
    assert len(steps) == a.steps and summary["kills"] == 1
    before = statistics.median(s["seconds"] for s in steps[2:at])
    disturbed = max(steps[at:at + 8], key=lambda s: s["seconds"])
    return dict(extra_seconds=round(disturbed["seconds"] - before, 3), step_seconds=round(before, 3),
                repaired_microbatches=summary["repaired_microbatches"])


with tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    programs.prepare_data(scratch)
    for disturbance in ("--kill", "--freeze"):
        for seat in ("0:0", "1:0"):
            runs = [run(scratch, f"{disturbance}{seat}{i}".replace(":", "-"), disturbance, seat) for i in range(a.repeats)]
            extra = [r["extra_seconds"] for r in runs]
            print(json.dumps(dict(bench="repair", what=disturbance[2:], stage=int(seat[0]), extra_seconds_median=statistics.median(extra),
                                  extra_seconds=extra, step_seconds=runs[0]["step_seconds"],
                                  repaired_microbatches=[r["repaired_microbatches"] for r in runs])), flush=True)
