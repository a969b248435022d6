"""One entry after the other: who may say it, then the rule of its kind (ledger/FORMAT.md)."""
# SPDX-License-Identifier: Apache-2.0
import ed25519
import keys
import leaves
import rules
from encoding import decode, domain_hash, require

OWNERS = (14, 16, 22, 23, 24)
WORK_BATCH, RECOVERY_CLAIM, RECOVERY_FINISH, AUDIT_VERDICT = 6, 15, 16, 20


def read_body(entry):
    body = decode("body", entry["body"])
    require(body["type"] in leaves.LEAVES, "unknown leaf type %d" % body["type"])
    return body, decode(leaves.LEAVES[body["type"]], body["leaf"])


def require_signatures(state, entry, body):
    signers = [one["key_id"] for one in entry["signatures"]]
    require(signers and signers[0] == body["author"], "not signed by its author")
    require(len(set(signers)) == len(signers), "signed twice by one key")
    for one in entry["signatures"]:
        require(ed25519.is_signed(one["key_id"], "entry", state.network, entry["body"],
                                  one["signature"]), "a false signature")


def is_coordinators(state, body):
    others = OWNERS + (RECOVERY_CLAIM, AUDIT_VERDICT)
    return body["author"] == state.genesis["coordinator"] and body["type"] not in others


def owner_of(state, body):
    account = state.speaks_for(body["author"])
    if body["type"] == RECOVERY_FINISH:
        account = state.reserved.get(domain_hash("account", body["author"]))
    require(account is not None and state.is_member(account), "speaks for no account here")
    entries = state.rows[account]["entries"] if account in state.rows else 0
    require(body["sequence"] == entries + 1, "number of the owner's entry")
    return account


def require_author(state, body):
    """Whose entry it is; the account where it is an owner's."""
    if body["type"] in OWNERS:
        return owner_of(state, body)
    if body["type"] == RECOVERY_CLAIM:
        return None
    if is_coordinators(state, body):
        require(body["sequence"] == state.sequence + 1, "number of the coordinator's entry")
        return None
    require(body["type"] in (WORK_BATCH, AUDIT_VERDICT), "the coordinator says that, nobody else")
    node = state.nodes.get(body["author"])
    require(node and not node["revoked"], "no registered node, or a revoked one")
    return None


def apply(state, data):
    """Applies an entry's bytes; Refused leaves the state as it was."""
    require(len(data) <= 16 * 1024, "more than 16 KiB")
    entry = decode("entry", data)
    require(entry["version"] == 1 and entry["index"] == state.size, "version or index")
    require(entry["seq_ms"] >= state.seq_ms, "older than the entry before it")
    body, leaf = read_body(entry)
    name = leaves.LEAVES[body["type"]]
    require((name == "genesis") == (state.size == 0), "one genesis, the first entry")
    require_signatures(state, entry, body)
    context = dict(index=state.size, seq_ms=entry["seq_ms"], author=body["author"],
                   sequence=body["sequence"],
                   others=[one["key_id"] for one in entry["signatures"][1:]])
    if state.size == 0:
        require(body["author"] == leaf["coordinator"] and body["sequence"] == 1, "author of entry 0")
    else:
        context["account"] = require_author(state, body)
    (getattr(rules, name, None) or getattr(keys, name))(state, context, leaf)
    if state.size == 0:
        state.network = domain_hash("network", data)
    if is_coordinators(state, body):
        state.sequence = body["sequence"]
    state.seq_ms = entry["seq_ms"]
    state.size += 1
    state.check_conserved()
