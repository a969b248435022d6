#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a slow replica costs: a step's time against the best that its boxes could do.

    tests/bench/uneven_bench.py [--unit-ms 100] [--factor 10] [--replicas 3] [--microbatches 24,42,63] [--steps 8]

Real coordinator and nodes on loopback, two stages; each node's engine waits instead of computing (tests/support/paced_engine.cpp), since
two cores would measure the scheduler. One replica of the first or of the last stage is slower by `factor`. With units of U seconds, n
replicas of a stage, one of them slow, and M microbatches:

    sum of rates      M U / (n - 1 + 1 / factor) + U          what could be done if a microbatch could be split
    whole units       min T with sum over replicas of floor(T / u_r) >= M, + U     what list scheduling can do

`+ U` is the pipeline's filling and draining: (stages - 1) units. Ratios are of the median step after the first `--warmup` steps.
"""
import argparse, json, os, pathlib, statistics, sys, tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import programs

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--unit-ms", type=float, default=100)
p.add_argument("--factor", type=float, default=10)
p.add_argument("--replicas", type=int, default=3)
p.add_argument("--microbatches", default="24,42,63")
p.add_argument("--steps", type=int, default=10)
p.add_argument("--warmup", type=int, default=3)
a = p.parse_args()
UNIT = a.unit_ms / 1000


def whole_units(count, takes):
    ends = sorted(k * u for u in takes for k in range(1, count + 1))
    return ends[count - 1]


def measure(scratch, manifest, slow_stage, microbatches, factor):
    slow = scratch / f"slow-{slow_stage}-{microbatches}-{factor}"
    os.environ["COSHARD_PACE"] = f"{a.unit_ms / 3} {a.unit_ms * 2 / 3} {slow_stage} {factor} {slow}"
    shape = dict(hidden=32, layers=2, heads=2, kv_heads=2, ffn=64, vocab=256, sequence=16, stages=2, replicas=a.replicas,
                 steps=a.steps, microbatches=microbatches, sequences=1)
    metrics, _ = programs.run_round(shape, manifest, node="coshard-paced-node")
    assert len(metrics) == a.steps and slow.exists()
    takes = [UNIT] * (a.replicas - 1) + [UNIT * factor]
    seconds = [m["seconds"] for m in metrics[a.warmup:]]
    step = statistics.median(seconds)
    rates = microbatches / sum(1 / t for t in takes) + UNIT
    whole = whole_units(microbatches, takes) + UNIT
    return dict(bench="uneven", slow_stage=slow_stage, microbatches=microbatches, factor=factor, step_seconds=round(step, 3),
                of_sum_of_rates=round(rates / step, 3), of_whole_units=round(whole / step, 3), steps=[round(m["seconds"], 2) for m in metrics])


with tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    manifest = programs.prepare_data(scratch, 200_000)
    for microbatches in map(int, a.microbatches.split(",")):
        for slow_stage in (0, 1):
            print(json.dumps(measure(scratch, manifest, slow_stage, microbatches, a.factor)), flush=True)
