#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bytes per token that cross a stage boundary, counted by the kernel on a veth pair between two network namespaces.

    tests/bench/wire_bytes_bench.py [--steps 20]         needs root; says so and exits 0 without

Stage 0 and the coordinator live in one namespace, stage 1 in the other, so everything that the two stages say to each
other and stage 1's talk with the coordinator crosses the pair. Payload: hidden * 4 bytes per token and direction (fp32).
"""
import argparse, json, os, pathlib, subprocess, sys, tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import programs

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("--steps", type=int, default=20)
a = p.parse_args()
SHAPE = dict(hidden=128, layers=4, heads=4, kv_heads=4, ffn=344, vocab=256, sequence=128, sequences=8, microbatches=8, stages=2,
             replicas=1, steps=a.steps)
SPACES = [("coshard-bench-a", "veth-cba", "198.51.100.1"), ("coshard-bench-b", "veth-cbb", "198.51.100.2")]


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def make_spaces():
    for space, _, _ in SPACES:
        ip("netns", "add", space)
    ip("link", "add", SPACES[0][1], "type", "veth", "peer", "name", SPACES[1][1])
    for space, link, address in SPACES:
        ip("link", "set", link, "netns", space)
        ip("-n", space, "addr", "add", address + "/24", "dev", link)
        ip("-n", space, "link", "set", link, "up")
        ip("-n", space, "link", "set", "lo", "up")


def bytes_sent():
    read = lambda space, link: int(subprocess.check_output(
        ["ip", "netns", "exec", space, "cat", f"/sys/class/net/{link}/statistics/tx_bytes"]))
    return [read(space, link) for space, link, _ in SPACES]


if os.geteuid() != 0:
    print("skipped: making network namespaces needs root")
    sys.exit(0)
for space, _, _ in SPACES:
    subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)
try:
    make_spaces()
    with tempfile.TemporaryDirectory() as scratch:
        manifest = programs.prepare_data(pathlib.Path(scratch))
        hosts = [(["ip", "netns", "exec", space], address) for space, _, address in SPACES]
        before = bytes_sent()
        metrics, _ = programs.run_round(SHAPE, manifest, hosts=hosts)
        after = bytes_sent()
finally:
    for space, _, _ in SPACES:
        subprocess.run(["ip", "netns", "del", space], stderr=subprocess.DEVNULL)
tokens = sum(m["tokens"] for m in metrics)
payload = SHAPE["hidden"] * 4
forward, backward = ((y - x) / tokens for x, y in zip(before, after))
print(json.dumps(dict(bench="wire_bytes", tokens=tokens, payload_bytes_per_token=payload, forward_bytes_per_token=round(forward, 1),
                      backward_bytes_per_token=round(backward, 1), forward_ratio=round(forward / payload, 4),
                      backward_ratio=round(backward / payload, 4))))
