"""units/<epoch> against the epoch_close that names it (ledger/FORMAT.md, Units file)."""
# SPDX-License-Identifier: Apache-2.0
from encoding import decode, encode, require, sha256
from tree import Tree


def ascends(values):
    return all(a < b for a, b in zip(values, values[1:]))


def require_in_epoch(genesis, close, one):
    require(close["first_step"] <= one["step"] <= close["last_step"] and
            one["stage"] < len(genesis["stage_prices"]), "units file: outside the epoch")


def check(genesis, close, data):
    require(len(data) <= 2**26 and sha256(data) == close["units_file"], "units file: hash")
    file = decode("units_file", data)
    require(file["version"] == 1, "units file: version")
    require(all(file[one] == close[one] for one in ("epoch", "first_step", "last_step")),
            "units file: another epoch")
    nodes, units = [one["id"] for one in file["nodes"]], file["units"]
    require(ascends(nodes), "units file: nodes ascend")
    require({one["node"] for one in units} == set(range(len(nodes))), "units file: unused node")
    require(ascends([(one["stage"], one["node"], one["incarnation"]) for one in file["members"]]),
            "units file: members ascend")
    require(ascends([(one["step"], one["stage"]) for one in file["digests"]]), "digests ascend")
    require(ascends([(one["step"], one["stage"], one["microbatch"], one["attempt"])
                     for one in units]), "units file: units ascend")
    for one in file["digests"]:
        require_in_epoch(genesis, close, one)
    tree, counted, totals = Tree(), set(), {}
    for one in units:
        require_in_epoch(genesis, close, one)
        require(one["microbatch"] < genesis["microbatches"], "units file: microbatch")
        node = nodes[one["node"]]
        tree.append(encode("unit_leaf", dict(one, node=node)))
        total = totals.setdefault((one["stage"], node), dict(
            stage=one["stage"], node=node, units=0, repairs=0, tokens=0))
        total["tokens"] += genesis["tokens_per_microbatch"]
        total["repairs" if one["repair"] else "units"] += 1
        if not one["repair"]:
            place = (one["step"], one["stage"], one["microbatch"])
            require(place not in counted, "units file: counted twice")
            counted.add(place)
    steps = close["last_step"] - close["first_step"] + 1
    per_stage = steps * genesis["microbatches"]
    require(len(counted) == per_stage * len(genesis["stage_prices"]), "units file: not all counted")
    require(close["units_count"] == len(units) and close["units_root"] == tree.root() and
            close["tokens"] == per_stage * genesis["tokens_per_microbatch"] and
            close["totals"] == [totals[one] for one in sorted(totals)], "units file: other totals")
