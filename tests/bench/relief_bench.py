#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What it costs that a replica becomes slow in the middle of a step.

    tests/bench/relief_bench.py [--unit-ms 150] [--factor 20] [--microbatches 12] [--after 30] [--steps 14]

Real coordinator and nodes on loopback, two stages of three replicas, engines that wait instead of computing
(tests/support/paced_engine.cpp): two cores would measure the scheduler. One replica of the first or of the last stage takes `factor` times
as long from its forward after + 1 on. Its other replicas are through with the step long before it: `held_seconds` is what a single unit,
forward and backward, takes it from then on, which is how long everybody would wait at least, if nothing were given back.
"""
import argparse, json, os, pathlib, statistics, sys, tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import programs

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--unit-ms", type=float, default=150)
p.add_argument("--factor", type=float, default=20)
p.add_argument("--microbatches", type=int, default=12)
p.add_argument("--after", type=int, default=30)
p.add_argument("--steps", type=int, default=14)
a = p.parse_args()


def measure(scratch, manifest, slow_stage):
    slow = scratch / f"slow-{slow_stage}"
    os.environ["COSHARD_PACE"] = f"{a.unit_ms / 3} {a.unit_ms * 2 / 3} {slow_stage} {a.factor} {slow} {a.after}"
    shape = dict(hidden=32, layers=2, heads=2, kv_heads=2, ffn=64, vocab=256, sequence=16, stages=2, replicas=3, steps=a.steps,
                 microbatches=a.microbatches, sequences=1)
    metrics, _ = programs.run_round(shape, manifest, node="coshard-paced-node")
    seconds = [m["seconds"] for m in metrics]
    usual = statistics.median(seconds[2:6])
    worst = max(seconds[2:])
    held = a.unit_ms / 1000 * a.factor
    return dict(bench="relief", slow_stage=slow_stage, factor=a.factor, usual_step_seconds=round(usual, 3), worst_step_seconds=round(worst, 3),
                extra_seconds=round(worst - usual, 3), held_seconds=round(held, 3), steps=[round(s, 2) for s in seconds])


with tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    manifest = programs.prepare_data(scratch, 200_000)
    for slow_stage in (0, 1):
        print(json.dumps(measure(scratch, manifest, slow_stage)), flush=True)
