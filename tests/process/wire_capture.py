# SPDX-License-Identifier: Apache-2.0
"""A capture of loopback during a run shows no tensor and no text in clear.

A raw socket listens on `lo` while the real programs train. Nothing that was captured may look like fp32 values, or hold
a line of the round file, of the manifest or of the training text. The same two detectors must find what is in clear: the
stage's checkpoint, and the files themselves. Exit 77 (skipped, with the reason) without the right to open a raw socket.
"""
import os, pathlib, socket, sys, tempfile, threading

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "support"))
import programs

SHAPE = dict(hidden=64, layers=2, heads=2, kv_heads=2, ffn=128, vocab=256, sequence=64, sequences=4, microbatches=4, stages=2,
             replicas=1, steps=12)
ETHERNET_IP_TCP_HEADERS = 14 + 20 + 20


def looks_like_floats(data):
    """Do most aligned 32-bit words have an exponent between 2^-24 and 2^8? One in eight of random words has."""
    for shift in range(4):
        top = data[3 + shift::4]
        low = data[2 + shift::4]
        exponents = [((t & 0x7F) << 1) | (l >> 7) for t, l in zip(top, low)]
        if exponents and sum(103 <= e <= 135 for e in exponents) > 0.6 * len(exponents):
            return True
    return False


def capture(sock, packets, stop):
    sock.settimeout(0.2)
    while not stop.is_set():
        try:
            packets.append(sock.recv(1 << 17)[ETHERNET_IP_TCP_HEADERS:])
        except TimeoutError:
            pass


def main():
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        sock.bind(("lo", 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
    except PermissionError:
        print("skipped: opening a raw socket needs root or CAP_NET_RAW")
        return 77
    packets, stop, clear = [], threading.Event(), {}
    listener = threading.Thread(target=capture, args=(sock, packets, stop))
    listener.start()
    with tempfile.TemporaryDirectory() as scratch:
        manifest = programs.prepare_data(pathlib.Path(scratch), 400_000)

        def keep(folder):
            for path in folder.parent.glob("node-*/checkpoints/*/stage-0.safetensors"):
                clear["checkpoint"] = path.read_bytes()

        try:
            metrics, nodes = programs.run_round(SHAPE, manifest, watch=keep)
        finally:
            stop.set()
            listener.join()
        text = (pathlib.Path(scratch) / "text.txt").read_bytes()
        secrets = {"the training text": text[1000:1032], "the round file": b"microbatch_sequences", "the manifest": b"\"sha256\""}
        manifest_bytes = manifest.read_bytes()
    seen = b"\n".join(packets)
    payload = sum(node["boundary_bytes_sent"] for node in nodes)
    print(f"{len(metrics)} steps, {len(seen)} bytes captured on loopback, {payload} bytes of boundary tensors sent")
    found = [name for name, secret in secrets.items() if secret in seen]
    floats = sum(looks_like_floats(p[i:i + 1024]) for p in packets for i in range(0, len(p) - 1024, 1024))
    weights = clear.get("checkpoint", b"")[4096:]
    controls = dict(captured_less_than_was_sent=len(seen) < payload, no_checkpoint=not weights,
                    blind_to_floats=not all(looks_like_floats(weights[i:i + 1024]) for i in range(0, 16 * 1024, 1024)),
                    blind_to_text=text[1000:1032] not in text or b"\"sha256\"" not in manifest_bytes)
    if found or floats or any(controls.values()):
        print(f"FAILED: in clear on the wire: {found}; pieces that look like fp32: {floats}; broken controls: "
              f"{[name for name, broken in controls.items() if broken]}")
        return 1
    print("nothing in clear; the detectors find the checkpoint's values and the files' text")
    return 0


sys.exit(main())
