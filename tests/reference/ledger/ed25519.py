"""Ed25519 with the strictness of ledger/FORMAT.md, in integers. Not constant in time: it only verifies."""
# SPDX-License-Identifier: Apache-2.0
import hashlib
from functools import lru_cache

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
NEUTRAL = (0, 1, 1, 0)


def add(a, b):
    x1, y1, z1, t1 = a
    x2, y2, z2, t2 = b
    m, n = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = n - m, d - c, d + c, n + m
    return e * f % P, g * h % P, f * g % P, e * h % P


def double(a):
    x, y, z, _ = a
    xx, yy, zz = x * x % P, y * y % P, 2 * z * z % P
    h = xx + yy
    e, g = h - (x + y) * (x + y), xx - yy
    f = zz + g
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    out = NEUTRAL
    for bit in bin(scalar)[2:]:
        out = double(out)
        if bit == "1":
            out = add(out, point)
    return out


def decode(data):
    """The point of a canonical encoding, or None."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    u, v = (y * y - 1) % P, (D * y * y + 1) % P
    x = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    if v * x * x % P != u:
        x = x * ROOT % P
    if v * x * x % P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def encode(point):
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    x, y = x * inverse % P, y * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def is_neutral(point):
    return point[0] == 0 and point[1] == point[2]


def is_small(point):
    return is_neutral(double(double(double(point))))


@lru_cache(maxsize=None)
def is_valid_key(key):
    point = decode(key)
    return point is not None and not is_neutral(point) and is_neutral(multiply(L, point))


@lru_cache(maxsize=None)
def powers(key):
    """The negated point of a key, doubled again and again; None for a key that is refused."""
    point = decode(key)
    if point is None or is_small(point):
        return None
    x, y, z, t = point
    out = [(P - x, y, z, P - t)]
    while len(out) < 256:
        out.append(double(out[-1]))
    return out


BASE_KEY = (4 * pow(5, P - 2, P) % P).to_bytes(32, "little")
BASE = decode(BASE_KEY)
MINUS_BASE = powers(BASE_KEY)


def sum_of(table, scalar):
    out = NEUTRAL
    for at, bit in enumerate(bin(scalar)[:1:-1]):
        if bit == "1":
            out = add(out, table[at])
    return out


@lru_cache(maxsize=None)
def verify(key, message, signature):
    table = powers(key)
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if table is None or s >= L:
        return False
    point = decode(r)
    if point is None or is_small(point):
        return False
    h = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
    # s B - h A, with -B in the table: -(s (-B)) + h (-A)
    x, y, z, t = sum_of(MINUS_BASE, s)
    return encode(add((P - x, y, z, P - t), sum_of(table, h))) == r


def preimage(name, number, network, payload):
    return (b"coshard/" + name.encode() + b"/v1\0" + network + number.to_bytes(4, "big") +
            len(payload).to_bytes(8, "big") + payload)


NUMBERS = {"certificate": 1, "entry": 6, "revocation": 12, "recovery": 13, "witness": 14,
           "governance": 16, "log-key": 18}


def is_signed(key, name, network, payload, signature):
    return verify(key, preimage(name, NUMBERS[name], network, payload), signature)
