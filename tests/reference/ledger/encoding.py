"""Canonical encoding (ledger/FORMAT.md). Messages are dicts; schemas are written as on that page."""
# SPDX-License-Identifier: Apache-2.0
import hashlib


class Refused(Exception):
    """An entry, a file or a checkpoint that breaks a rule; the text says which."""


def require(holds, why):
    if not holds:
        raise Refused(why)


def sha256(data):
    return hashlib.sha256(data).digest()


def domain_hash(name, *parts):
    return sha256(b"coshard/" + name.encode() + b"/v1\0" + b"".join(parts))


FIXED = {"hash": 32, "key": 32, "account": 32, "sig": 64, "fp": 16}
NUMBERS = {"u64": 2**64 - 1, "u32": 2**32 - 1, "u8": 255, "bool": 1}
SCHEMAS = {}


def schema(name, fields):
    """schema("grant", "1 account account, 2 basis_points u64")"""
    rows = [row.split() for row in fields.split(",")]
    SCHEMAS[name] = [(int(number), field, kind) for number, field, kind in rows]


def put_varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def get_varint(data, at):
    value = shift = 0
    while True:
        require(at < len(data) and shift < 64, "malformed: varint")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            require(value < 2**64, "malformed: varint of more than 64 bits")
            return value, at


def put_bytes(number, data):
    return put_varint(number << 3 | 2) + put_varint(len(data)) + data


def encode_field(number, kind, value):
    if kind in NUMBERS:
        return put_varint(number << 3) + put_varint(int(value)) if value else b""
    if kind in FIXED:
        return put_bytes(number, value)
    if kind == "u128":
        value = value.to_bytes((value.bit_length() + 7) // 8, "big")
    if kind == "u64[]":
        value = b"".join(map(put_varint, value))
    if kind in ("bytes", "text", "u128", "u64[]"):
        return put_bytes(number, value) if value else b""
    if kind.endswith("[]"):
        return b"".join(put_bytes(number, encode(kind[:-2], one)) for one in value)
    return put_bytes(number, encode(kind, value))


def encode(name, message):
    return b"".join(encode_field(n, kind, message[field]) for n, field, kind in SCHEMAS[name])


def default(kind):
    if kind in NUMBERS or kind == "u128":
        return 0
    if kind in FIXED:
        return bytes(FIXED[kind])
    if kind in ("bytes", "text"):
        return b""
    return [] if kind.endswith("[]") else empty(kind)


def empty(name):
    return {field: default(kind) for _, field, kind in SCHEMAS[name]}


def split_fields(data):
    """[(number, value)]: an int for wire type 0, bytes for wire type 2."""
    out, at, last = [], 0, 0
    while at < len(data):
        key, at = get_varint(data, at)
        value, at = get_varint(data, at)
        require(key >> 3 >= max(last, 1), "malformed: field numbers do not ascend")
        last = key >> 3
        if key & 7 == 2:
            require(value <= len(data) - at, "malformed: length")
            value, at = data[at:at + value], at + value
        else:
            require(key & 7 == 0, "malformed: wire type")
        out.append((last, value))
    return out


def read_value(kind, value):
    if kind in NUMBERS:
        require(isinstance(value, int) and value <= NUMBERS[kind], "malformed: a number")
        return value
    require(isinstance(value, bytes), "malformed: wire type")
    if kind in FIXED:
        require(len(value) == FIXED[kind], "malformed: length of a fixed array")
        return value
    if kind == "u128":
        require(len(value) <= 16, "malformed: more than 128 bits")
        return int.from_bytes(value, "big")
    if kind in ("bytes", "text"):
        return value
    if kind == "u64[]":
        out, at = [], 0
        while at < len(value):
            one, at = get_varint(value, at)
            out.append(one)
        return out
    return decode(kind, value)


def decode(name, data):
    message = empty(name)
    kinds = {number: (field, kind) for number, field, kind in SCHEMAS[name]}
    for number, value in split_fields(data):
        require(number in kinds, "malformed: unknown field %d of %s" % (number, name))
        field, kind = kinds[number]
        if kind.endswith("[]") and kind != "u64[]":
            message[field].append(read_value(kind[:-2], value))
        else:
            message[field] = read_value(kind, value)
    require(encode(name, message) == data, "non_canonical " + name)
    return message
