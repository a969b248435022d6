#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What accounting and encryption cost beside training, and what each process holds in memory beside its stage.

    tests/bench/costs_bench.py [--steps 60]

Preset tiny, two stages of two replicas, the real programs. Shares are of the time in which steps were open.
"""
import argparse, json, pathlib, re, sys, tempfile, urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import programs

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--steps", type=int, default=60)
a = p.parse_args()
SHAPE = dict(hidden=128, layers=4, heads=4, kv_heads=4, ffn=344, vocab=256, sequence=128, sequences=8, microbatches=8, stages=2,
             replicas=2, steps=a.steps)
seen = {}


def watch(folder):
    """Keeps the coordinator's newest counters; its HTTP goes away with it."""
    try:
        about = json.loads((folder / "coordinator.json").read_text())
        text = urllib.request.urlopen(f"http://{about['http']}/metrics", timeout=1).read().decode()
        seen.update((name, float(value)) for name, value in re.findall(r"^coshard_(\w+) ([0-9.e+-]+)$", text, re.M))
        status = pathlib.Path(f"/proc/{about['pid']}/status").read_text()
        seen["rss"] = int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024
    except (OSError, ValueError):
        pass


with tempfile.TemporaryDirectory() as scratch:
    metrics, nodes = programs.run_round(SHAPE, programs.prepare_data(pathlib.Path(scratch)), watch=watch)
seconds = sum(m["seconds"] for m in metrics)
cost = lambda node, name: node["costs"][name] / seconds
percent = lambda values: [round(100 * v, 3) for v in values]
parameters = 857_216
print(json.dumps(dict(
    bench="costs", steps=len(metrics), seconds=round(seconds, 1),
    receipts_percent_of_step=percent(cost(n, "receipts_seconds") for n in nodes),
    ledger_percent_of_step=percent([seen.get("ledger_seconds_total", 0) / seconds])[0],
    sealing_and_opening_percent=percent(cost(n, "sealing_seconds") + cost(n, "opening_seconds") for n in nodes),
    engine_percent=percent(cost(n, "engine_seconds") for n in nodes),
    node_rss_mib=[round(n["rss_bytes"] / 2**20) for n in nodes], coordinator_rss_mib=round(seen.get("rss", 0) / 2**20),
    stage_state_mib=round(parameters / 2 * 4 * 5 / 2**20, 1))))
