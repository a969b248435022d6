# SPDX-License-Identifier: Apache-2.0
"""Starts coshard's real programs from Python: one round in a scratch folder, nodes pinned to cores.

For benchmarks and for tests that look from outside; needs nothing but Python's standard library. Every process is in its own session,
or the kernel's autogroup scheduling would share a busy core unequally.
"""
import contextlib, json, os, pathlib, shutil, signal, statistics, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def build_dir():
    """The build whose programs are measured: COSHARD_BUILD, else the first preset that has them."""
    candidates = [os.environ.get("COSHARD_BUILD", "")] + [ROOT / "build" / p for p in ("release", "dev", "test")]
    for candidate in candidates:
        if candidate and (pathlib.Path(candidate) / "bin" / "coshard-coordinator").exists():
            return pathlib.Path(candidate)
    sys.exit("expected coshard-coordinator in build/release/bin (or in COSHARD_BUILD); build the preset 'release' first")


def prepare_data(folder, text_bytes=4_000_000):
    """A byte-tokenised shard of printable text made from a fixed recurrence: no package is needed."""
    folder.mkdir(parents=True, exist_ok=True)
    state, out = 1, bytearray()
    while len(out) < text_bytes:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(32 + (state >> 33) % 90)
    (folder / "text.txt").write_bytes(out)
    subprocess.run([build_dir() / "bin" / "coshard", "data", "prepare", "--tokenizer", "bytes", "--out", folder / "tokens",
                    folder / "text.txt"], check=True, stdout=subprocess.DEVNULL)
    return folder / "tokens" / "manifest.json"


def round_toml(shape, manifest):
    return f"""
[model]
name = "bench"
hidden = {shape['hidden']}
layers = {shape['layers']}
heads = {shape['heads']}
kv_heads = {shape['kv_heads']}
ffn_hidden = {shape['ffn']}
vocab = {shape['vocab']}
sequence = {shape['sequence']}
stages = {shape['stages']}
weights = "open"
[data]
manifest = "{manifest}"
[training]
steps = {shape['steps']}
microbatches = {shape['microbatches']}
microbatch_sequences = {shape['sequences']}
optimizer = {{ name = "adamw", lr = 3e-4, betas = [0.9, 0.95], eps = 1e-8, weight_decay = 0.1, clip_norm = 1.0, warmup = 2, schedule = "cosine" }}
precision = "auto"
seed = 1
checkpoint_epochs = {shape.get('checkpoint_epochs', 1)}
[boundary]
compression = "none"
[ownership]
units = 1_000_000
emission = "constant"
split = {{ compute = 10000, data = 0, design = 0, treasury = 0 }}
[admission]
mode = "open"
replicas = {shape['replicas']}
[ledger]
epoch_steps = {shape.get('epoch_steps', 1000)}
"""


def wait_for(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    sys.exit(f"waited {seconds} s for {what}")


@contextlib.contextmanager
def running(commands, logs):
    """Each command in its own session; killed when the block ends."""
    processes = []
    try:
        for name, command in commands:
            log = open(logs / f"{name}.log", "wb")
            processes.append(subprocess.Popen([str(c) for c in command], stdout=log, stderr=log, start_new_session=True))
        yield processes
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def run_round(shape, manifest, cores=(0, 1), seconds=600, hosts=None, watch=lambda folder: None, node="coshard-node"):
    """One whole round with real programs. Returns (metrics lines, each node's last status).

    `hosts`: per node a (command prefix, address) pair, for network namespaces; the coordinator runs on the first.
    `node`: the program of every node. `watch(folder of the coordinator)` is called twice a second while the round runs, and once after."""
    host = lambda node: hosts[node % len(hosts)] if hosts else ([], "127.0.0.1")
    bin_dir, folder = build_dir() / "bin", pathlib.Path(tempfile.mkdtemp(prefix="coshard-bench-"))
    try:
        (folder / "round.toml").write_text(round_toml(shape, manifest))
        coordinator = ("coordinator", [*host(0)[0], bin_dir / "coshard-coordinator", "--round", folder / "round.toml",
                                       "--dir", folder / "round", "--listen", f"tcp://{host(0)[1]}:0"])
        with running([coordinator], folder) as (boss,):
            wait_for(lambda: (folder / "round" / "invitation").exists(), "the coordinator's invitation")
            nodes = []
            for i in range(shape["stages"] * shape["replicas"]):
                command = ["taskset", "-c", str(cores[i % len(cores)]), *host(i)[0], bin_dir / node, "--join",
                           folder / "round" / "invitation", "--dir", folder / f"node-{i}", "--data", pathlib.Path(manifest).parent,
                           "--listen", f"tcp://{host(i)[1]}:0", "--device", "cpu", "--threads", "1"]
                nodes.append((f"node-{i}", command))
            with running(nodes, folder):
                deadline = time.monotonic() + seconds
                while boss.poll() is None:
                    if time.monotonic() > deadline:
                        sys.exit(f"the round did not end within {seconds} s; logs in {folder}")
                    watch(folder / "round")
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        boss.wait(timeout=0.5)
                watch(folder / "round")
                if boss.returncode != 0:
                    sys.exit(f"the coordinator ended with {boss.returncode}:\n" + (folder / "coordinator.log").read_text()[-2000:])
                statuses = [json.loads((folder / name / "status.json").read_text()) for name, _ in nodes
                            if (folder / name / "status.json").exists()]
        metrics = [json.loads(line) for line in (folder / "round" / "metrics.jsonl").read_text().splitlines()]
        return metrics, statuses
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def median_tokens_per_second(metrics, warmup=3):
    return statistics.median(m["tokens"] / m["seconds"] for m in metrics[warmup:])
