"""Replays a published ledger and says what it adds up to: a second implementation of ledger/FORMAT.md,
written from that page. Standard library only.

    python3 replay.py FOLDER                      verifies everything, prints size and state root
    python3 replay.py FOLDER --roots FILE         lines "size root": the state root after `size` entries
    python3 replay.py FOLDER --candidates FILE    lines "size verdict entry": what a rule says of an entry
                                                  in that place; the verdict is "refused" or a state root
    python3 replay.py FOLDER --every N            prints the state root after each N entries
"""
# SPDX-License-Identifier: Apache-2.0
import argparse
import copy
import os
import sys

import fold
import tree
import units
from encoding import Refused, require
from state import State


def verdict(state, data, expected):
    """The state root after an entry, or "refused"; the state stays as it is."""
    # Refused entries change nothing, so only what should be accepted needs a copy.
    trial = state if expected == "refused" else copy.deepcopy(state)
    try:
        fold.apply(trial, data)
    except Refused as refused:
        return "refused", str(refused)
    return trial.root().hex(), ""


def read_table(path):
    """{size: rows}"""
    out = {}
    for line in open(path) if path else ():
        row = line.split()
        out.setdefault(int(row[0]), []).append(row[1:])
    return out


def check_place(state, roots, candidates):
    problems = []
    for (root,) in roots.get(state.size, []):
        if root != state.root().hex():
            problems.append("after %d entries: state root %s was expected, found %s" % (
                state.size, root, state.root().hex()))
    for expected, data in candidates.get(state.size, []):
        found, why = verdict(state, bytes.fromhex(data), expected)
        if found != expected:
            problems.append("entry %d: %s was expected, found %s %s for %s" % (
                state.size, expected, found, why, data))
            break  # the state may be spoilt
    return problems


def check_key(state, key, size):
    keys = state.log_keys
    require(key == keys[-1]["key"] or (len(keys) > 1 and size <= keys[-1]["until"] and
                                       key == keys[-2]["key"]), "log.vkey is not the log's key")


def replay(folder, roots, candidates, every):
    name, key, size, root = tree.open_checkpoint(folder)
    require(size > 0, "no genesis entry")
    state, problems = State(), []
    for at, data in enumerate(tree.read_entries(folder, size, root)):
        try:
            fold.apply(state, data)
        except Refused as refused:
            raise Refused("entry %d: %s" % (at, refused)) from refused
        problems += check_place(state, roots, candidates)
        if problems:
            return state, problems
        if every and state.size % every == 0:
            print(state.size, state.root().hex())
    require(state.genesis["origin"].decode() == name, "log.vkey has another name")
    check_key(state, key, size)
    for epoch in state.epochs:
        path = "units/%d" % epoch.close["epoch"]
        units.check(state.genesis, epoch.close, tree.read(folder, path))
    return state, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--roots")
    parser.add_argument("--candidates")
    parser.add_argument("--every", type=int, default=0)
    flags = parser.parse_args()
    try:
        state, problems = replay(os.path.abspath(flags.folder), read_table(flags.roots),
                                 read_table(flags.candidates), flags.every)
    except (Refused, OSError, ValueError) as error:
        problems = [str(error)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    print(state.size, state.root().hex())
    return 0


if __name__ == "__main__":
    sys.exit(main())
