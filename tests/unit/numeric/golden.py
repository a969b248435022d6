#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the constants of numeric_test.cpp and permutation_test.cpp from a second implementation that shares no code
with shard/: Python integers and IEEE doubles of the standard library alone."""
import math
import struct

M32, M64 = 2**32 - 1, 2**64 - 1


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bits(x):
    return struct.unpack("<I", struct.pack("<f", x))[0]


def philox(key, words):
    k0, k1 = key & M32, key >> 32
    c = list(words)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & M32, (p0 >> 32) ^ c[3] ^ k1, p0 & M32]
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return c


def philox64(key, counter, stream):
    return philox(key, [counter & M32, counter >> 32, stream & M32, stream >> 32])


def fnv1a(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & M64
    return h


def initial(seed, name, index, std):
    words = philox64(seed, index, fnv1a(name))
    total = sum((w & 0xFFFF) + (w >> 16) for w in words)
    return f32((float(total) - 262140.0) * (std * (1 / math.sqrt(8 * (2**32 - 1) / 12))))


def sample(i):
    """A deterministic float in about [-2, 2), exactly representable."""
    return f32(((i * 2654435761) & M32) / 2**30 - 2.0)


def squared_norm(values):
    lanes = [0.0] * 256
    for i, v in enumerate(values):
        lanes[i % 256] += v * v
    stride = 128
    while stride:
        for l in range(stride):
            lanes[l] += lanes[l + stride]
        stride //= 2
    return lanes[0]


def fingerprint(key, parameters):
    ka, kb = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    a = b = 0
    for index, values in parameters:
        x = [bits(v) for v in values] + [0] * (-len(values) % 4)
        for g in range(len(x) // 4):
            w = philox64(ka, g, kb ^ index) + philox64(ka, g + 1, kb ^ index)
            for lane in (0, 1):
                y = [(x[4 * g + j] + w[2 * lane + j]) & M32 for j in range(4)]
                h = y[0] * y[1] + y[2] * y[3]
                if lane == 0:
                    a += h
                else:
                    b += h
    return ((a & M64).to_bytes(8, "little") + (b & M64).to_bytes(8, "little")).hex()


def adamw(w, m, v, avg, s):
    g = f32(avg * s["clip"])
    m = f32(f32(s["beta1"] * m) + f32(s["omb1"] * g))
    v = f32(f32(s["beta2"] * v) + f32(s["omb2"] * f32(g * g)))
    d = f32(f32(f32(math.sqrt(v)) / s["sbc2"]) + s["eps"])
    return f32(f32(w * s["decay"]) - f32(s["step"] * f32(m / d))), m, v


def permutation(seed, pass_, count, index):
    half = 1
    while 1 << (2 * half) < count:
        half += 1
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for r in range(8):
            f = philox(seed, [right, r, pass_ & M32, pass_ >> 32])[0] & mask
            left, right = right, left ^ f
        index = left << half | right
        if index < count:
            return index


def main():
    name = "model.layers.0.self_attn.q_proj.weight"
    print("initial", [initial(1, name, i, 0.02).hex() for i in (0, 1, 2, 2**32)])
    print("norm", squared_norm([sample(i) for i in range(1000)]).hex())
    key = bytes(range(16))
    print("fingerprint", fingerprint(key, [(0, [sample(i) for i in range(10)]), (7, [sample(i) for i in range(8)])]))
    s = {k: f32(x) for k, x in dict(clip=0.7, beta1=0.9, omb1=0.1, beta2=0.95, omb2=0.05, sbc2=0.3, eps=1e-8,
                                    decay=0.9999, step=1e-3).items()}
    state = [(f32(0.5), 0.0, 0.0), (f32(-1.5), 0.0, 0.0), (f32(1e-3), 0.0, 0.0)]
    for t in range(10):
        state = [adamw(*state[i], f32(sample(3 * t + i) * (1e-3, 1.0, 1e-22)[i]), s) for i in range(3)]
    print("adamw", [[f"0x{bits(x):08x}" for x in element] for element in state])
    print("permutation", [permutation(7, 3, 1000, i) for i in range(8)])


if __name__ == "__main__":
    main()
