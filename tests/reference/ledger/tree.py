"""RFC 6962 trees, tiles and signed notes, as ledger/FORMAT.md and the C2SP pages describe them."""
# SPDX-License-Identifier: Apache-2.0
import base64
import os
import re

import ed25519
from encoding import require, sha256


class Tree:
    """Roots of perfect subtrees, largest first: (leaves, hash)."""

    def __init__(self):
        self.parts = []

    def append(self, data):
        self.append_hash(sha256(b"\0" + data))

    def append_hash(self, leaf):
        self.parts.append((1, leaf))
        while len(self.parts) > 1 and self.parts[-1][0] == self.parts[-2][0]:
            count, right = self.parts.pop()
            _, left = self.parts.pop()
            self.parts.append((2 * count, sha256(b"\1" + left + right)))

    def root(self):
        if not self.parts:
            return sha256(b"")
        out = self.parts[-1][1]
        for _, left in reversed(self.parts[:-1]):
            out = sha256(b"\1" + left + out)
        return out


def tile_path(level, number, width):
    groups = []
    while True:
        groups.insert(0, "%03d" % (number % 1000))
        number //= 1000
        if not number:
            break
    path = "/".join(["tile", str(level)] + ["x" + one for one in groups[:-1]] + groups[-1:])
    return path if width == 256 else path + ".p/%d" % width


def tiles_of(count):
    """(number, width) of the tiles of a level of `count` hashes."""
    full = [(number, 256) for number in range(count // 256)]
    return full + ([(count // 256, count % 256)] if count % 256 else [])


def read(folder, path, most=2**26):
    with open(os.path.join(folder, path), "rb") as file:
        data = file.read(most + 1)
    require(len(data) <= most, path + ": too long")
    return data


def split_bundle(data, width, path):
    out, at = [], 0
    while at < len(data):
        require(at + 2 <= len(data), path + ": cut off")
        length = int.from_bytes(data[at:at + 2], "big")
        at += 2 + length
        require(at <= len(data), path + ": cut off")
        out.append(data[at - length:at])
    require(len(out) == width, path + ": another number of entries")
    return out


def read_entries(folder, size, root):
    """The entries of a published log, checked against every tile and the root."""
    entries, tree, level = [], Tree(), []
    for number, width in tiles_of(size):
        path = tile_path("entries", number, width)
        entries += split_bundle(read(folder, path), width, path)
    for entry in entries:
        level.append(sha256(b"\0" + entry))
        tree.append_hash(level[-1])
    require(tree.root() == root, "the checkpoint has another root than the entries")
    depth = 0
    while level:
        for number, width in tiles_of(len(level)):
            path = tile_path(depth, number, width)
            expected = b"".join(level[number * 256:number * 256 + width])
            require(read(folder, path) == expected, path + ": other hashes than those below")
        above = []
        for number in range(len(level) // 256):
            part = Tree()
            for one in level[number * 256:number * 256 + 256]:
                part.append_hash(one)
            above.append(part.root())
        level, depth = above, depth + 1
    return entries


def parse_vkey(text):
    match = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)\n", text)
    require(match, "log.vkey: one line name+id+key was expected")
    name, key = match.group(1), base64.b64decode(match.group(3), validate=True)
    require(len(key) == 33 and key[0] == 1, "log.vkey: an Ed25519 key was expected")
    require(sha256(name.encode() + b"\n" + key)[:4].hex() == match.group(2), "log.vkey: key id")
    return name, key[1:]


def open_checkpoint(folder):
    """(name, key, size, root) of a checkpoint that the folder's log.vkey signed."""
    name, key = parse_vkey(read(folder, "log.vkey", 1024).decode())
    note = read(folder, "checkpoint", 65536).decode()
    text, lines = note[:note.rindex("\n\n") + 1], note[note.rindex("\n\n") + 2:]
    require(lines.endswith("\n"), "checkpoint: no newline at the end")
    signed = False
    for line in lines[:-1].split("\n"):
        match = re.fullmatch("\u2014 (\\S+) (\\S+)", line)
        require(match, "checkpoint: a signature line was expected")
        blob = base64.b64decode(match.group(2), validate=True)
        key_id = sha256(name.encode() + b"\n\1" + key)[:4]
        if match.group(1) != name or blob[:4] != key_id:
            continue
        require(ed25519.verify(key, text.encode(), blob[4:]), "checkpoint: false signature")
        signed = True
    require(signed, "checkpoint: not signed by log.vkey")
    match = re.fullmatch(r"(\S+)\n(0|[1-9][0-9]*)\n(\S{44})\n", text)
    require(match and match.group(1) == name, "checkpoint: origin, size and root were expected")
    return name, key, int(match.group(2)), base64.b64decode(match.group(3), validate=True)
