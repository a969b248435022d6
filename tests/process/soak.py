#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A round under churn for a long time: every few seconds one node is killed, frozen or told to stop, and comes back a while later.

    tests/process/soak.py [--minutes 30] [--every 5] [--replicas 3] [--clean 5] [--compare-at STEP] [--seed 1] [--coordinator]

The coordinator and one replica per stage are left alone; with --coordinator, one strike in four kills or freezes the coordinator. All steps commit, each once; the ledger verifies; what was left alone neither grows
(resident memory: less than 1 % per 1,000 steps, by a line through the run's second half) nor gathers file descriptors; and the mean loss of the
last steps, or of those up to --compare-at, lies within the spread of as many undisturbed runs as --clean says. Prints one line of JSON; exits 1 when anything of that fails.
"""
import argparse, json, os, pathlib, random, signal, statistics, subprocess, sys, tempfile, time, urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import programs

STAGES, LAST_STEPS = 2, 50
AWAY_SECONDS = 3  # a killed or stopped node is started again after this; a frozen one thaws after twice as long: it is given up by then

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--minutes", type=float, default=30)
p.add_argument("--every", type=float, default=5)
p.add_argument("--replicas", type=int, default=3)
p.add_argument("--clean", type=int, default=5)
p.add_argument("--compare-at", type=int, default=10**9, help="step up to which undisturbed runs go, if the soak gets that far")
p.add_argument("--seed", type=int, default=1)
p.add_argument("--coordinator", action="store_true")
a = p.parse_args()
SHAPE = dict(hidden=64, layers=2, heads=2, kv_heads=2, ffn=128, vocab=256, sequence=32, sequences=2, microbatches=8, stages=STAGES,
             replicas=a.replicas, steps=10_000_000)


class Round:
    """Coordinator and nodes in one folder, driven from here."""

    def __init__(self, folder, manifest):
        self.folder, self.manifest, self.processes = folder, manifest, {}
        folder.mkdir()
        toml = programs.round_toml(SHAPE, manifest).replace("epoch_steps = 1000", "epoch_steps = 20")
        (folder / "round.toml").write_text(toml)
        self.start_coordinator()
        programs.wait_for(lambda: (folder / "round" / "invitation").exists(), "the coordinator's invitation")
        for node in range(STAGES * a.replicas):
            self.start_node(node)
        programs.wait_for(lambda: self.metrics(), "the first step")

    def start(self, name, program, *arguments):
        with open(self.folder / f"{name}.log", "ab") as log:
            command = [str(word) for word in (programs.build_dir() / "bin" / program, *arguments)]
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def start_coordinator(self):
        self.start("coordinator", "coshard-coordinator", "--round", self.folder / "round.toml", "--dir", self.folder / "round")

    def start_node(self, node):
        self.start(node, "coshard-node", "--join", self.folder / "round" / "invitation", "--dir", self.folder / f"node-{node}", "--data",
                   pathlib.Path(self.manifest).parent, "--device", "cpu", "--threads", "1")

    def alive(self, name):
        return self.processes[name].poll() is None

    def signal(self, node, number):
        if self.alive(node):
            os.kill(self.processes[node].pid, number)

    def status(self, node):
        """What the node says of itself, if it is a fresh word of the process that runs."""
        try:
            status = json.loads((self.folder / f"node-{node}" / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        fresh = status["pid"] == self.processes[node].pid and time.time() * 1000 - status["updated_ms"] < 2500
        return status if fresh and self.alive(node) else {}

    def metrics(self):
        path = self.folder / "round" / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def finish(self):
        http = json.loads((self.folder / "round" / "coordinator.json").read_text())["http"]
        token = (self.folder / "round" / "control.token").read_text().strip()
        request = urllib.request.Request(f"http://{http}/finish", b"", {"Authorization": f"Bearer {token}"})
        programs.wait_for(lambda: answers(request), "the coordinator to take the word to finish")
        return self.processes["coordinator"].wait(timeout=60)

    def kill(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


def answers(request):
    try:
        return urllib.request.urlopen(request, timeout=10)
    except OSError:  # it has just been started again
        return None


def usage(pid):
    """Resident bytes and open descriptors."""
    pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd"))


def growth(samples):
    """Of the second half of (step, bytes): relative to its mean, per 1,000 steps."""
    half = samples[len(samples) // 2:]
    steps, values = [s for s, _ in half], [v for _, v in half]
    if len(set(steps)) < 2:
        return 0.0
    return statistics.linear_regression(steps, values).slope * 1000 / statistics.mean(values)


class Churn:
    def __init__(self, round_, chance):
        self.round, self.chance, self.away = round_, chance, {}  # node: (when to bring it back, how)
        self.counts = dict(kill=0, freeze=0, stop=0, coordinator=0, none=0)
        nodes = range(STAGES * a.replicas)
        seats = {node: programs.wait_for(lambda: self.round.status(node), f"node {node}")["stage"] for node in nodes}
        self.left_alone = [next(node for node in nodes if seats[node] == stage) for stage in range(STAGES)]

    def strike(self):
        """One node that works, is not left alone and is not away; or the coordinator."""
        if a.coordinator and "coordinator" not in self.away and self.chance.random() < 0.25:
            verb = self.chance.choice(["kill", "freeze"])
            self.counts["coordinator"] += 1
            return self.hit("coordinator", verb)
        working = [node for node in range(STAGES * a.replicas) if node not in self.left_alone and node not in self.away
                   and self.round.status(node).get("state") == "training"]
        if not working:
            self.counts["none"] += 1
            return
        node, verb = self.chance.choice(working), self.chance.choice(["kill", "freeze", "stop"])
        self.counts[verb] += 1
        self.hit(node, verb)

    def hit(self, node, verb):
        self.round.signal(node, dict(kill=signal.SIGKILL, freeze=signal.SIGSTOP, stop=signal.SIGTERM)[verb])
        self.away[node] = (time.monotonic() + AWAY_SECONDS * (2 if verb == "freeze" else 1), verb)

    def bring_back(self):
        for node, (when, verb) in list(self.away.items()):
            if time.monotonic() < when:
                continue
            self.round.signal(node, signal.SIGCONT)
            if verb != "freeze" and self.round.alive(node):
                continue  # SIGTERM: it finishes what it has
            if not self.round.alive(node):
                self.round.start_coordinator() if node == "coordinator" else self.round.start_node(node)
            del self.away[node]

    def revive(self):
        """Who gave up, frozen for too long, is started again as its operator would."""
        for node in range(STAGES * a.replicas):
            if node not in self.away and not self.round.alive(node):
                self.round.start_node(node)


def soak(round_):
    churn = Churn(round_, random.Random(a.seed))
    watched = {} if a.coordinator else {"coordinator": round_.processes["coordinator"].pid}
    watched |= {f"stage {stage}": round_.processes[node].pid for stage, node in enumerate(churn.left_alone)}
    samples = {name: [] for name in watched}
    end, next_strike = time.monotonic() + 60 * a.minutes, time.monotonic() + a.every
    while time.monotonic() < end:
        time.sleep(0.5)
        step = len(round_.metrics())
        for name, pid in watched.items():
            samples[name].append((step, *usage(pid)))
        if time.monotonic() >= next_strike:
            next_strike += a.every
            churn.strike()
        churn.bring_back()
        churn.revive()
    for node in list(churn.away):
        churn.away[node] = (0, churn.away[node][1])
    churn.bring_back()
    steps = len(round_.metrics())
    code = round_.finish()
    struck = sum(churn.counts.values()) - churn.counts["none"]
    failures = [] if struck >= 6 * a.minutes else [f"only {struck} nodes were struck"]
    failures += [] if code == 0 else [f"the coordinator ended with {code}"]
    metrics = round_.metrics()
    if [m["step"] for m in metrics] != list(range(1, len(metrics) + 1)):
        failures.append("not every step was committed once")
    if len(metrics) < steps or steps < 10 * a.minutes:
        failures.append(f"only {steps} steps")
    ledger = next((round_.folder / "round" / "ledger").iterdir())
    if subprocess.run([programs.build_dir() / "bin" / "coshard", "verify", "--ledger", ledger], stdout=subprocess.DEVNULL).returncode != 0:
        failures.append("the ledger does not verify")
    grown = {name: round(growth([(step, rss) for step, rss, _ in rows]), 4) for name, rows in samples.items()}
    descriptors = {}
    for name, rows in samples.items():
        third = len(rows) // 3
        descriptors[name] = [max(fds for *_, fds in rows[:third]), max(fds for *_, fds in rows[-third:])]
    if len(metrics) >= 2000:  # before that the line shows warming up
        failures += [f"memory of {name} grows by {share:.1%} per 1,000 steps" for name, share in grown.items() if share >= 0.01]
    failures += [f"descriptors of {name} went from {first} to {last}" for name, (first, last) in descriptors.items() if last > first + 4]
    return metrics, failures, dict(strikes=churn.counts, memory_growth_per_1000_steps=grown, descriptors_first_and_last_third=descriptors)


def last_loss(metrics, steps):
    return statistics.mean(m["loss"] for m in metrics[:steps][-LAST_STEPS:])


def clean_loss(folder, manifest, steps):
    round_ = Round(folder, manifest)
    try:
        programs.wait_for(lambda: len(round_.metrics()) >= steps, f"{steps} undisturbed steps", seconds=60 * a.minutes + 60)
        round_.finish()
        return last_loss(round_.metrics(), steps)
    finally:
        round_.kill()


def main():
    with tempfile.TemporaryDirectory(prefix="coshard-soak-") as name:
        scratch = pathlib.Path(name)
        manifest = programs.prepare_data(scratch, 400_000)
        round_ = Round(scratch / "soak", manifest)
        try:
            metrics, failures, result = soak(round_)
        finally:
            round_.kill()
        compared = min(len(metrics), a.compare_at)
        loss = last_loss(metrics, compared)
        clean = [clean_loss(scratch / f"clean-{i}", manifest, compared) for i in range(a.clean)]
        # One run has no spread: then what fp32 sums in another order differ by after many steps.
        slack = max(clean) - min(clean) if len(clean) > 1 else 0.01 * loss
        if clean and not min(clean) - slack <= loss <= max(clean) + slack:
            failures.append(f"loss {loss:.4f}, undisturbed {min(clean):.4f} to {max(clean):.4f}")
        print(json.dumps(dict(soak="failed" if failures else "passed", seed=a.seed, minutes=a.minutes, steps=len(metrics), compared_at=compared, loss=round(loss, 4),
                              clean=[round(c, 4) for c in clean], **result, failures=failures)))
        return 1 if failures else 0


sys.exit(main())
