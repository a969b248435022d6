#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What checkpoints cost training: the median step with one asked for after every step, over the median step without any.

    tests/bench/checkpoint_bench.py [--steps 60] [--repeats 3]

Preset tiny, two stages of one replica, the real programs; a ledger epoch is one step long in both. The runs alternate, so that what else
the machine does falls on both. `complete` counts the checkpoints that every stage had on its disk before the next was asked for.
"""
import argparse, json, pathlib, statistics, sys, tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import programs

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--steps", type=int, default=60)
p.add_argument("--repeats", type=int, default=3)
a = p.parse_args()


def run(manifest, checkpoint_epochs):
    """The median step of a round, and how many checkpoints it completed."""
    said = {}
    shape = dict(hidden=128, layers=4, heads=4, kv_heads=4, ffn=344, vocab=256, sequence=128, sequences=8, microbatches=8, stages=2,
                 replicas=1, steps=a.steps, epoch_steps=1, checkpoint_epochs=checkpoint_epochs)

    def watch(folder):
        said["log"] = (folder.parent / "coordinator.log").read_text(errors="replace")

    metrics, _ = programs.run_round(shape, manifest, watch=watch)
    return statistics.median(m["seconds"] for m in metrics[3:]), said["log"].count("is complete")


with tempfile.TemporaryDirectory() as scratch:
    manifest = programs.prepare_data(pathlib.Path(scratch))
    pairs = [(run(manifest, 1), run(manifest, 10**6)) for _ in range(a.repeats)]
ratios = [with_[0] / without[0] for with_, without in pairs]
print(json.dumps(dict(bench="checkpoint", step_ratio_median=round(statistics.median(ratios), 3), step_ratios=[round(r, 3) for r in ratios],
                      step_seconds=round(statistics.median(w[0] for _, w in pairs), 4), steps=a.steps,
                      complete=[with_[1] for with_, _ in pairs])))
