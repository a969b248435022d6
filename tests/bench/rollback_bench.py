#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What losing a whole stage costs: from the kill of its only node until the round has committed a step again.

    tests/bench/rollback_bench.py [--repeats 3]

Preset tiny, two stages of one replica, a checkpoint every ten steps, the real programs. At the moment of the kill another node is started
that has a copy of the lost one's checkpoints, as a supervisor would. `seconds` counts its start, the survivor's way back to the checkpoint
and the first step that is done again; `steps_again` is how many steps had been committed since the checkpoint.
"""
import argparse, contextlib, json, pathlib, re, shutil, statistics, sys, tempfile, time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import programs

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--repeats", type=int, default=3)
a = p.parse_args()
SHAPE = dict(hidden=128, layers=4, heads=4, kv_heads=4, ffn=344, vocab=256, sequence=128, sequences=8, microbatches=8, stages=2,
             replicas=1, steps=60, epoch_steps=10)


def committed(folder):
    with contextlib.suppress(OSError):
        return [json.loads(line) for line in (folder / "round" / "metrics.jsonl").read_text().splitlines(True) if line.endswith("\n")]
    return []


def run(manifest, folder):
    bin_dir = programs.build_dir() / "bin"
    folder.mkdir()
    (folder / "round.toml").write_text(programs.round_toml(SHAPE, manifest))
    node = lambda i: (f"node-{i}", [bin_dir / "coshard-node", "--join", folder / "round" / "invitation", "--dir", folder / f"node-{i}",
                                    "--data", manifest.parent, "--device", "cpu", "--threads", "1"])
    coordinator = ("coordinator", [bin_dir / "coshard-coordinator", "--round", folder / "round.toml", "--dir", folder / "round"])
    with programs.running([coordinator], folder) as (boss,):
        programs.wait_for((folder / "round" / "invitation").exists, "the coordinator's invitation")
        with programs.running([node(0), node(1)], folder) as nodes:
            programs.wait_for(lambda: len(committed(folder)) >= 25, "25 steps", 300)
            victim = next(i for i in (0, 1) if json.loads((folder / f"node-{i}" / "status.json").read_text())["stage"] == 1)
            shutil.copytree(folder / f"node-{victim}" / "checkpoints", folder / "node-2" / "checkpoints")
            nodes[victim].kill()
            began, before = time.monotonic(), len(committed(folder))
            with programs.running([node(2)], folder):
                programs.wait_for(lambda: len(committed(folder)) > before, "a step after the kill", 60)
                seconds = time.monotonic() - began
                again = committed(folder)[before:]
                programs.wait_for(lambda: boss.poll() is not None, "the end of the round", 300)
        assert boss.returncode == 0, (folder / "coordinator.log").read_text()[-2000:]
    back = int(re.search(r"goes back to the checkpoint of step (\d+)", (folder / "coordinator.log").read_text())[1])
    assert {m["step"] for m in committed(folder)} == set(range(1, SHAPE["steps"] + 1))
    return dict(seconds=round(seconds, 2), steps_again=committed(folder)[before - 1]["step"] - back, step_seconds=again[0]["seconds"])


with tempfile.TemporaryDirectory() as name:
    scratch = pathlib.Path(name)
    manifest = programs.prepare_data(scratch)
    runs = [run(manifest, scratch / f"run-{i}") for i in range(a.repeats)]
print(json.dumps(dict(bench="rollback", seconds_median=statistics.median(r["seconds"] for r in runs), runs=runs)))
