#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two pipeline stages over CURVE against PyTorch's own pipelining over gloo (in clear), and against two independent copies.

    tests/bench/pipeline_bench.py [--repeats 3] [--steps 12] [--microbatches 8 16]

One thread per process, stage k pinned to core k, the same LLaMA shape, split and batch. Runs alternate, so that both
see the same machine; the figures are medians of tokens per second, the ratios are taken within this run.
"""
import argparse, json, os, pathlib, socket, statistics, subprocess, sys, tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import programs

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--repeats", type=int, default=3)
p.add_argument("--steps", type=int, default=12)
p.add_argument("--microbatches", type=int, nargs="+", default=[8, 16])
a = p.parse_args()
SHAPE = dict(hidden=256, layers=8, heads=8, kv_heads=8, ffn=688, vocab=256, sequence=128, sequences=8, stages=2, replicas=1)
BASELINE = pathlib.Path(os.environ.get("COSHARD_SHARED_DIR", programs.ROOT.parent / "shared")) / "bench" / "torch_pipeline.py"
PYTHON = programs.ROOT / ".deps" / "venv" / "bin" / "python"


def torch_runs(mode, microbatches, ranks):
    """Median tokens per second of each of `ranks` simultaneous processes, one per core."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = lambda rank: ["taskset", "-c", str(rank), PYTHON, BASELINE, mode, "--rank", str(rank), "--world", "2", "--addr",
                            f"127.0.0.1:{port}", "--microbatches", str(microbatches), "--steps", str(a.steps)]
    started = [subprocess.Popen(command(r), stdout=subprocess.PIPE, start_new_session=True) for r in range(ranks)]
    return [json.loads(process.communicate()[0].splitlines()[-1])["tokens_per_second"] for process in started]


if not BASELINE.exists():
    sys.exit(f"the baseline {BASELINE} was expected (set COSHARD_SHARED_DIR); nothing measured")
with tempfile.TemporaryDirectory() as scratch:
    manifest = programs.prepare_data(pathlib.Path(scratch))
    for microbatches in a.microbatches:
        ours, theirs, copies = [], [], []
        for _ in range(a.repeats):
            metrics, _ = programs.run_round(dict(SHAPE, microbatches=microbatches, steps=a.steps + 3), manifest)
            ours.append(programs.median_tokens_per_second(metrics))
            theirs.append(min(torch_runs("1f1b", microbatches, 2)))
            copies.append(sum(torch_runs("mono", microbatches, 2)))
        mid = statistics.median
        print(json.dumps(dict(bench="pipeline", microbatches=microbatches, coshard=round(mid(ours)), torch_1f1b=round(mid(theirs)),
                              two_copies=round(mid(copies)), ratio_to_torch=round(mid(ours) / mid(theirs), 3),
                              ratio_to_copies=round(mid(ours) / mid(copies), 3),
                              torch_to_copies=round(mid(theirs) / mid(copies), 3), runs=a.repeats)), flush=True)
