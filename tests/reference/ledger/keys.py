"""The rules of keys: certificates, nodes, witnesses, log keys, recovery, governors."""
# SPDX-License-Identifier: Apache-2.0
from ed25519 import is_signed, is_valid_key
from encoding import domain_hash, encode, require

DAY_MS = 86_400_000
NONE = bytes(32)


def node_certificate(data):
    require(len(data) == 232, "a node certificate of 232 bytes")
    root, node, curve = data[:32], data[32:64], data[64:96]
    require(is_valid_key(root) and is_valid_key(node) and root != node, "keys of the certificate")
    for key, signature in ((root, data[104:168]), (node, data[168:232])):
        require(is_signed(key, "certificate", NONE, data[:104], signature), "certificate: signature")
    return dict(root=root, key=node, curve=curve, serial=int.from_bytes(data[96:104], "big"))


def witness_certificate(data):
    require(201 <= len(data) <= 455, "a witness certificate of 201 to 455 bytes")
    root, witness, name = data[:32], data[32:64], data[200:]
    require(is_valid_key(root) and is_valid_key(witness) and root != witness, "keys")
    require(all(0x21 <= c <= 0x7E and c != 0x2B for c in name), "name of a witness")
    for key, signature in ((root, data[72:136]), (witness, data[136:200])):
        require(is_signed(key, "witness", NONE, data[:72] + name, signature), "witness: signature")
    return dict(root=root, key=witness, serial=int.from_bytes(data[64:72], "big"))


def require_newer(known, account, certificate):
    require(known["account"] == account, "the key is another account's")
    require(not known["revoked"], "the key is revoked")
    require(known["serial"] < certificate["serial"], "there is a newer certificate")


def require_acceptable(state, certificate):
    account = state.speaks_for(certificate["root"])
    require(account is not None, "the root speaks for no account")
    if certificate["key"] in state.nodes:
        require_newer(state.nodes[certificate["key"]], account, certificate)
    for key, node in state.nodes.items():
        require(key == certificate["key"] or node["curve"] != certificate["curve"],
                "the CURVE key is another node's")
    return account


def register(state, certificate, account):
    state.nodes[certificate["key"]] = dict(certificate, account=account, revoked=False, verdicts=0)


def identity_register(state, context, leaf):
    certificate = node_certificate(leaf["certificate"])
    register(state, certificate, require_acceptable(state, certificate))


def revocable(state, leaf):
    for known in (state.nodes.get(leaf["node"]), state.witnesses.get(leaf["node"])):
        if known is None or known["revoked"]:
            continue
        root = state.roots.get(known["account"], known["root"])
        require(is_signed(root, "revocation", state.network, leaf["node"], leaf["root_signature"]),
                "not taken back by its root")
        return known
    require(False, "no registered key that could be revoked")


def identity_revoke(state, context, leaf):
    revocable(state, leaf)["revoked"] = True


def key_rotate(state, context, leaf):
    require(leaf["node"] in state.nodes, "no registered node")
    revocable(state, leaf)
    certificate = node_certificate(leaf["certificate"])
    account = require_acceptable(state, certificate)
    require(certificate["key"] not in state.nodes, "the new key is registered already")
    require(account == state.nodes[leaf["node"]]["account"], "a key of another account")
    state.nodes[leaf["node"]]["revoked"] = True
    register(state, certificate, account)


def witness_register(state, context, leaf):
    certificate = witness_certificate(leaf["certificate"])
    account, key = state.speaks_for(certificate["root"]), certificate["key"]
    require(account is not None and state.is_member(account), "vouched for by no member")
    genesis = state.genesis
    require(key not in (genesis["coordinator"], genesis["log_key"]), "the key has another part")
    require(key not in state.nodes, "the key is a node's")
    if key in state.witnesses:
        require_newer(state.witnesses[key], account, certificate)
    state.witnesses[key] = dict(certificate, account=account, revoked=False)


def log_key_rotate(state, context, leaf):
    key = leaf["key"]
    taken = key == state.genesis["coordinator"] or key in state.nodes or key in state.witnesses
    require(is_valid_key(key) and not taken, "the new log key has another part")
    require(all(old["key"] != key for old in state.log_keys), "it was the log's key before")
    payload = key + leaf["until"].to_bytes(8, "big")
    for signer, signature in ((state.log_keys[-1]["key"], leaf["old_signature"]),
                              (key, leaf["new_signature"])):
        require(is_signed(signer, "log-key", state.network, payload, signature), "log-key signature")
    require(context["index"] >= state.log_keys[-1]["until"], "the last change is not over")
    state.log_keys.append(dict(key=key, until=leaf["until"]))


def drop_claim(state, recovery):
    if recovery["claim"]:
        state.reserved.pop(domain_hash("account", recovery["claim"]["root"]), None)
    recovery["claim"] = None


def recovery_name(state, context, leaf):
    require(state.genesis["recovery_days"] > 0, "no recovery in this ledger")
    key = leaf["key"]
    require(key == NONE or (is_valid_key(key) and key != context["author"]), "recovery key")
    recovery = state.recoveries.setdefault(context["account"], dict(claims=0, claim=None))
    recovery["key"] = key
    drop_claim(state, recovery)
    state.row(context["account"])["entries"] += 1


def is_granted(state, account):
    lists = [state.genesis[one] for one in ("data", "design", "treasury")]
    lists += list(state.grants.values())
    return any(grant["account"] == account for grants in lists for grant in grants)


def recovery_claim(state, context, leaf):
    account, root = leaf["account"], leaf["root"]
    recovery = state.recoveries.get(account)
    require(recovery and recovery["key"] != NONE and recovery["key"] == context["author"],
            "not the account's recovery key")
    require(context["sequence"] == recovery["claims"] + 1, "number of the claim")
    own = domain_hash("account", root)
    require(is_valid_key(root) and root != context["author"], "the new root")
    require(own != account and not state.is_member(own) and own not in state.roots and
            not is_granted(state, own), "the new root has a part already")
    renewed = recovery["claim"] and recovery["claim"]["root"] == root
    require(own not in state.reserved or renewed, "the new root is reserved")
    require(is_signed(root, "recovery", state.network, account, leaf["root_signature"]),
            "not signed by the new root")
    recovery["claims"] += 1
    drop_claim(state, recovery)
    state.reserved[own] = account
    recovery["claim"] = dict(root=root, since=context["seq_ms"])


def recovery_finish(state, context, leaf):
    account, recovery = leaf["account"], state.recoveries.get(leaf["account"])
    require(account == context["account"] and recovery and recovery["claim"] and
            recovery["claim"]["root"] == context["author"], "not claimed for this root")
    due = recovery["claim"]["since"] + state.genesis["recovery_days"] * DAY_MS
    require(context["seq_ms"] >= due, "the owner may still object")
    if account in state.roots:
        state.reserved.pop(domain_hash("account", state.roots[account]), None)
    state.roots[account] = context["author"]
    recovery.update(key=NONE, claim=None)
    state.row(account)["entries"] += 1


def require_governed(state, name, leaf):
    governors = [one["key"] for one in state.genesis["governors"]]
    require(governors, "this ledger has no governors")
    payload, agreed = encode(name, dict(leaf, governors=[])), set()
    for one in leaf["governors"]:
        key = one["key_id"]
        require(key in governors and key not in agreed, "no governor, or twice")
        require(is_signed(key, "governance", state.network, payload, one["signature"]),
                "a governor's signature")
        agreed.add(key)
    require(len(agreed) >= state.genesis["governors_needed"], "too few governors")
    require(leaf["first_epoch"] >= state.now + len(state.announced), "the epoch is announced")
