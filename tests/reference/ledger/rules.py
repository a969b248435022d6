"""The rules of work, owners, audits and money: one function for each kind of leaf. Each judges first
and changes the state when nothing can be refused any more."""
# SPDX-License-Identifier: Apache-2.0
import re

from ed25519 import is_valid_key
from encoding import domain_hash, require
from keys import require_governed
from state import Epoch, emitted

NONE = bytes(32)
EPOCHS_MAX = 2**20


# ---- the round

def require_good_params(params):
    require(params["challenge_epochs"] <= EPOCHS_MAX and params["bond_epochs"] <= EPOCHS_MAX and
            params["minimum_payout"] <= 2**62 and params["audit_rate"] <= 10_000, "params")


def require_good_grants(grants, points):
    accounts = [one["account"] for one in grants]
    require(all(a < b for a, b in zip(accounts, accounts[1:])), "grants ascend")
    require(all(1 <= one["basis_points"] <= 10_000 for one in grants), "basis points of a grant")
    require(sum(one["basis_points"] for one in grants) == (10_000 if points else 0), "sum of grants")


def genesis(state, context, leaf):
    match = re.fullmatch(rb"([a-z0-9./-]+?)/coshard/m/([a-z0-9.-]+)", leaf["origin"])
    require(match and not match.group(1).endswith(b"/") and match.group(2) == leaf["model"] and
            not leaf["model"].startswith(b"."), "origin")
    require(is_valid_key(leaf["coordinator"]) and is_valid_key(leaf["log_key"]) and
            leaf["coordinator"] != leaf["log_key"], "keys of the genesis")
    require(1 <= leaf["unit_cap"] <= 2**62, "unit_cap")
    require(len(leaf["split"]) == 4 and sum(leaf["split"]) == 10_000, "split")
    for role, points in zip(("data", "design", "treasury"), leaf["split"][1:]):
        require_good_grants(leaf[role], points)
    require(leaf["half_life_steps"] <= 2**29 and 1 <= leaf["total_steps"] <= 2**40, "steps")
    require(leaf["steps_before"] < leaf["total_steps"] and
            1 <= leaf["epoch_steps"] <= 2**20, "steps")
    require(1 <= len(leaf["stage_prices"]) <= 256, "stages")
    require(all(1 <= one <= 2**50 for one in leaf["stage_prices"]), "prices")
    require(1 <= leaf["microbatches"] <= 512 and
            1 <= leaf["tokens_per_microbatch"] <= 2**32, "microbatches")
    require(re.fullmatch(rb"[A-Z]{0,8}", leaf["currency"]), "currency")
    require_good_params(leaf["params"])
    vesting = leaf["vesting_epochs"]
    require(not vesting or (len(vesting) == 4 and max(vesting) <= EPOCHS_MAX), "vesting")
    require(leaf["recovery_days"] <= 3650 and len(leaf["witness_policy"]) <= 4096, "recovery, policy")
    keys, needed = [one["key"] for one in leaf["governors"]], leaf["governors_needed"]
    require(len(keys) <= 64 and (1 <= needed <= len(keys) or needed == len(keys) == 0), "governors")
    require(all(map(is_valid_key, keys)) and all(a < b for a, b in zip(keys, keys[1:])), "governors")
    state.genesis = leaf
    state.log_keys = [dict(key=leaf["log_key"], until=0)]
    state.covered = state.committed = leaf["steps_before"]
    state.units.update(cap=leaf["unit_cap"], remaining=leaf["unit_cap"])


def epoch_open(state, context, leaf):
    length, total = state.genesis["epoch_steps"], state.genesis["total_steps"]
    require(not state.burnt_rest, "the rest was burnt")
    before = state.announced[-1]["last_step"] if state.announced else state.committed
    first = before + 1
    require(first <= total, "no step is left")
    last = min((first + length - 1) // length * length, total)
    expected = dict(epoch=state.now + len(state.announced), first_step=first, last_step=last,
                    emission=emitted(state.genesis, last) - emitted(state.genesis, first - 1),
                    seed_commitment=leaf["seed_commitment"])
    require(leaf == expected, "not the epoch that follows")
    state.announced.append(leaf)


def require_totals(state, leaf):
    genesis_ = state.genesis
    per_stage = (leaf["last_step"] - leaf["first_step"] + 1) * genesis_["microbatches"]
    tokens = genesis_["tokens_per_microbatch"]
    counted, everything, before = [0] * state.stages, 0, None
    for one in leaf["totals"]:
        place = (one["stage"], one["node"])
        require(one["stage"] < state.stages and one["node"] in state.nodes, "stage or node")
        require(before is None or before < place, "totals ascend")
        before, work = place, one["units"] + one["repairs"]
        require(work >= 1 and one["repairs"] <= 2**26 and one["tokens"] == work * tokens, "a total")
        counted[one["stage"]] += one["units"]
        everything += work
    require(all(one == per_stage for one in counted), "each stage counts each microbatch")
    require(everything == leaf["units_count"] and leaf["tokens"] == per_stage * tokens, "sums")


def epoch_close(state, context, leaf):
    require(state.announced, "no epoch is announced")
    first = state.announced[0]
    require(leaf["epoch"] == first["epoch"] and leaf["first_step"] == first["first_step"] and
            first["first_step"] <= leaf["last_step"] <= first["last_step"] and
            leaf["last_step"] >= state.covered, "not the epoch that is open")
    require_totals(state, leaf)
    state.epochs.append(Epoch(leaf, first["seed_commitment"]))
    state.committed = leaf["last_step"]
    state.announced = [] if leaf["last_step"] < first["last_step"] else state.announced[1:]


def work_batch(state, context, leaf):
    epoch = state.epoch(leaf["epoch"])
    require(context["author"] in (leaf["node"], state.genesis["coordinator"]), "another's batch")
    require(epoch and epoch.status in ("closed", "voided"), "the epoch takes no batches")
    if context["author"] != state.genesis["coordinator"]:
        require(context["sequence"] == leaf["epoch"] * 256 + leaf["stage"] + 1, "sequence")
    place = (leaf["stage"], leaf["node"])
    require(place in epoch.totals and place not in epoch.batches, "no total, or a second batch")
    total = epoch.totals[place]
    require(all(leaf[one] == total[one] for one in ("units", "repairs", "tokens")), "other work")
    require(leaf["flops"] == state.genesis["stage_prices"][leaf["stage"]] * leaf["tokens"], "flops")
    require(leaf["countersigned"] <= leaf["receipts"], "countersigned")
    epoch.batches.add(place)


def credit(state, context, leaf):
    epoch = state.epoch(leaf["epoch"])
    require(not state.burnt_rest and state.stages > 1, "nobody is credited")
    require(epoch and epoch.status in ("closed", "voided") and epoch.is_complete(), "not due")
    settled = min(state.covered, state.committed)
    require(epoch.status == "closed" or epoch.close["last_step"] <= settled, "not covered")
    require(leaf["lines"] == state.lines_of(epoch), "other lines than the work leads to")
    for line in leaf["lines"]:
        state.units["remaining"] -= line["units"]
        if line["account"] in epoch.voided:
            state.units["burnt"] += line["units"]
            epoch.burnt += line["units"]
        else:
            state.units["pending"] += line["units"]
            state.row(line["account"])["pending"] += line["units"]
            epoch.lines.append(line)
    epoch.status = "pending"


def credit_post(state, context, leaf):
    epoch = state.epoch(leaf["epoch"])
    require(epoch and epoch.status == "pending", "no pending credit")
    require(state.checkpoints.get(leaf["reason"], -1) >= epoch.close["last_step"], "not covered")
    window = state.params_at(leaf["epoch"])["challenge_epochs"]
    require(state.is_over() or state.now - 1 - leaf["epoch"] >= window, "may be challenged")
    for line in epoch.lines:
        state.row(line["account"])["pending"] -= line["units"]
        state.units["pending"] -= line["units"]
        state.add_units(line["account"], line["units"])
        vesting = state.genesis["vesting_epochs"]
        if vesting and vesting[line["role"]]:
            lot = (state.now, vesting[line["role"]], line["units"])
            state.lots.setdefault(line["account"], []).append(lot)
    epoch.status = "posted"


def checkpoint_record(state, context, leaf):
    reached = state.announced[0]["last_step"] if state.announced else state.committed
    require(state.covered < leaf["step"] <= reached, "step of the checkpoint")
    require([one["stage"] for one in leaf["shards"]] == list(range(state.stages)), "shards")
    state.covered = state.checkpoints[context["index"]] = leaf["step"]


def rollback(state, context, leaf):
    require(not state.burnt_rest, "the rest was burnt")
    require(leaf["to_step"] == state.covered <= state.committed, "not the last checkpoint")
    state.check_text(leaf["reason"])
    for epoch in state.epochs:
        if epoch.close["last_step"] <= leaf["to_step"] or epoch.status == "posted":
            continue
        for line in epoch.lines:
            state.row(line["account"])["pending"] -= line["units"]
            state.units["pending"] -= line["units"]
            state.units["remaining"] += line["units"]
        state.units["burnt"] -= epoch.burnt
        state.units["remaining"] += epoch.burnt
        epoch.burnt, epoch.lines, epoch.status = 0, [], "voided"
    state.announced, state.committed = [], leaf["to_step"]


def burn(state, context, leaf):
    require(not state.burnt_rest, "the rest was burnt")
    require(leaf["units"] == state.units["remaining"] > 0, "not the rest")
    state.check_text(leaf["reason"])
    require(state.stages == 1 or all(one.status in ("pending", "posted") for one in state.epochs),
            "work is not credited yet")
    state.units["burnt"] += leaf["units"]
    state.units["remaining"] = 0
    state.burnt_rest, state.announced = True, []


# ---- governance and audits

def param_change(state, context, leaf):
    require_governed(state, "param_change", leaf)
    require_good_params(leaf["params"])
    state.params[leaf["first_epoch"]] = leaf["params"]


def role_grants(state, context, leaf):
    require_governed(state, "role_grants", leaf)
    require(1 <= leaf["role"] <= 3, "role")
    require_good_grants(leaf["grants"], state.genesis["split"][leaf["role"]])
    require(all(one["account"] not in state.reserved for one in leaf["grants"]), "reserved")
    state.grants[leaf["role"], leaf["first_epoch"]] = leaf["grants"]


def seed_reveal(state, context, leaf):
    epoch = state.epoch(leaf["epoch"])
    require(epoch and epoch.is_complete() and epoch.seed == NONE, "not due")
    require(leaf["seed"] != NONE and domain_hash("seed", leaf["seed"]) == epoch.commitment, "seed")
    epoch.seed = leaf["seed"]


def audit_verdict(state, context, leaf):
    auditor = state.nodes[context["author"]]
    require(context["sequence"] == auditor["verdicts"] + 1, "number of the verdict")
    epoch = state.epoch(leaf["epoch"])
    require(epoch and (leaf["stage"], leaf["node"]) in epoch.totals and
            epoch.covers(leaf["step"]) and
            leaf["microbatch"] < state.genesis["microbatches"], "no such unit")
    require(state.nodes[leaf["node"]]["account"] != auditor["account"], "nobody audits himself")
    auditor["verdicts"] += 1


def credit_void(state, context, leaf):
    epoch = state.epoch(leaf["epoch"])
    require(epoch and epoch.status == "pending", "no pending credit")
    lost = [one for one in epoch.lines if one["account"] == leaf["account"]]
    require(lost, "no line of the account")
    state.check_text(leaf["reason"])
    units = sum(one["units"] for one in lost)
    state.row(leaf["account"])["pending"] -= units
    state.units["pending"] -= units
    state.units["burnt"] += units
    epoch.burnt += units
    epoch.lines = [one for one in epoch.lines if one["account"] != leaf["account"]]
    epoch.voided.add(leaf["account"])


# ---- owners

def unit_transfer(state, context, leaf):
    seller, buyer = leaf["from"], leaf["to"]
    require(seller == context["account"] and buyer != seller, "from and to")
    require(buyer not in state.reserved, "`to` is reserved")
    require(1 <= leaf["units"] <= state.free(seller), "units of a transfer")
    require(leaf["expires"] == 0 or context["index"] < leaf["expires"], "expired")
    state.check_text(leaf["reference"])
    if leaf["price"] > 0 or state.genesis["buyer_signs"]:
        require(any(state.speaks_for(key) == buyer for key in context["others"]), "buyer's signature")
    state.touch(seller)
    state.take_units(seller, leaf["units"])
    state.add_units(buyer, leaf["units"])
    state.row(seller)["entries"] += 1


def bond(state, context, leaf):
    account = context["account"]
    require(1 <= leaf["units"] <= state.free(account), "units of a bond")
    state.touch(account)
    state.row(account)["bonded"] += leaf["units"]
    state.row(account)["entries"] += 1


def bond_release(state, context, leaf):
    account = context["account"]
    standing = state.rows[account]["bonded"] if account in state.rows else 0
    standing -= sum(units for _, units in state.releases.get(account, []))
    require(1 <= leaf["units"] <= standing, "units of a release")
    state.touch(account)
    due = state.now + state.params_at(state.now)["bond_epochs"]
    state.releases[account].append((due, leaf["units"]))
    state.row(account)["entries"] += 1


def penalty(state, context, leaf):
    account = leaf["account"]
    require(1 <= leaf["units"] <= state.bonded(account), "units of a penalty")
    state.check_text(leaf["reason"])
    state.touch(account)
    row = state.row(account)
    row["bonded"] -= leaf["units"]
    left, kept = row["bonded"], []
    for due, units in state.releases[account]:
        units = min(units, left)
        left -= units
        if units:
            kept.append((due, units))
    state.releases[account] = kept
    state.take_units(account, leaf["units"])
    state.units["burnt"] += leaf["units"]


# ---- money

def revenue_reported(state, context, leaf):
    require(state.genesis["currency"], "no currency")
    require(leaf["amount"] >= 1 and state.money["revenue"] + leaf["amount"] < 2**63, "amount")
    state.check_text(leaf["reference"])
    require(leaf["statement"] not in state.statements, "booked already")
    state.statements.add(leaf["statement"])
    state.report(leaf["amount"])
    state.revenues[context["index"]] = leaf["amount"]


def correction(state, context, leaf):
    before, after = state.revenues.get(leaf["entry"]), leaf["amount"]
    require(before is not None and before != after, "no revenue, or the same")
    require(state.money["revenue"] + after - before < 2**63 or after < before, "too much revenue")
    state.check_text(leaf["reason"])
    if after > before:
        state.report(after - before)
    else:
        state.retract(before - after)
    state.revenues[leaf["entry"]] = after


def settle(state, context, leaf):
    accounts = [one["account"] for one in leaf["accounts"]]
    require(accounts and all(a < b for a, b in zip(accounts, accounts[1:])), "accounts ascend")
    require(all(one in state.rows for one in accounts), "an account without a row")
    for one in accounts:
        state.settle(one)


def payout_initiated(state, context, leaf):
    row = state.rows.get(leaf["account"])
    require(row and leaf["number"] == row["payouts"] + 1, "account or number of the payout")
    least = state.params_at(state.now)["minimum_payout"] if row["posted"] else 0
    require(max(least, 1) <= leaf["amount"] <= state.settled(row)[0], "amount of the payout")
    state.settle(leaf["account"])
    row["owed"] -= leaf["amount"]
    row["in_flight"] += leaf["amount"]
    row["payouts"] += 1
    state.money["owed"] -= leaf["amount"]
    state.money["in_flight"] += leaf["amount"]
    state.payouts[leaf["account"], leaf["number"]] = leaf["amount"]


def payout_final(state, context, leaf):
    amount = state.payouts.get((leaf["account"], leaf["number"]))
    require(amount is not None, "no such payout in flight")
    state.check_text(leaf["reference"])
    row = state.rows[leaf["account"]]
    row["in_flight"] -= amount
    state.money["in_flight"] -= amount
    if leaf["paid"]:
        state.money["paid"] += amount
    else:
        row["owed"] += amount
        state.money["owed"] += amount
    del state.payouts[leaf["account"], leaf["number"]]


def state_snapshot(state, context, leaf):
    require(leaf == state.snapshot(), "not what the entries before it add up to")
