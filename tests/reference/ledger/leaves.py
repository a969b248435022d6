"""Every message of ledger/FORMAT.md: field numbers, names and types as that page writes them."""
# SPDX-License-Identifier: Apache-2.0
from encoding import schema

schema("entry", "1 version u32, 2 index u64, 3 seq_ms u64, 4 body bytes, 5 signatures signature[]")
schema("signature", "1 key_id key, 2 signature sig")
schema("body", "1 type u32, 2 author key, 3 sequence u64, 4 leaf bytes")
schema("grant", "1 account account, 2 basis_points u64")
schema("governor", "1 key key")
schema("params", "1 challenge_epochs u64, 2 minimum_payout u64, 3 bond_epochs u64, 4 audit_rate u64")
schema("total", "1 stage u32, 2 node key, 3 units u64, 4 repairs u64, 5 tokens u64")
schema("line", "1 account account, 2 role u8, 3 units u64")
schema("shard", "1 stage u32, 2 sha256 hash")
schema("ref", "1 account account")
schema("units", "1 cap u64, 2 posted u64, 3 pending u64, 4 burnt u64, 5 remaining u64")
schema("money", "1 revenue u64, 2 paid u64, 3 in_flight u64, 4 owed u64, 5 held u64, 6 deficit u64,"
       "7 acc u128, 8 rem u128, 9 frac u128")
schema("row", "1 account account, 2 posted u64, 3 pending u64, 4 bonded u64, 5 owed u64, 6 frac u64,"
       "7 last u128, 8 in_flight u64, 9 entries u64, 10 payouts u64")

LEAVES = {}


def leaf(number, name, fields):
    LEAVES[number] = name
    schema(name, fields)


leaf(1, "genesis", "1 model text, 2 origin text, 3 coordinator key, 4 log_key key, 5 nonce hash,"
     "6 round_hash hash, 7 unit_cap u64, 8 split u64[], 9 data grant[], 10 design grant[],"
     "11 treasury grant[], 12 half_life_steps u64, 13 total_steps u64, 14 epoch_steps u64,"
     "15 stage_prices u64[], 16 microbatches u64, 17 tokens_per_microbatch u64, 18 steps_before u64,"
     "19 currency text, 20 params params, 21 vesting_epochs u64[], 22 recovery_days u64,"
     "23 governors governor[], 24 governors_needed u64, 25 buyer_signs bool, 26 witness_policy text")
leaf(2, "identity_register", "1 certificate bytes")
leaf(3, "identity_revoke", "1 node key, 2 root_signature sig")
leaf(4, "epoch_open", "1 epoch u64, 2 first_step u64, 3 last_step u64, 4 emission u64,"
     "5 seed_commitment hash")
leaf(5, "epoch_close", "1 epoch u64, 2 first_step u64, 3 last_step u64, 4 units_root hash,"
     "5 units_count u64, 6 units_file hash, 7 tokens u64, 8 totals total[]")
leaf(6, "work_batch", "1 epoch u64, 2 stage u32, 3 node key, 4 units u64, 5 repairs u64, 6 tokens u64,"
     "7 flops u128, 8 receipts_root hash, 9 receipts u64, 10 countersigned u64")
leaf(7, "credit", "1 epoch u64, 2 lines line[]")
leaf(8, "credit_post", "1 epoch u64, 2 reason u64")
leaf(9, "checkpoint_record", "1 step u64, 2 shards shard[]")
leaf(10, "rollback", "1 to_step u64, 2 reason text")
leaf(11, "burn", "1 units u64, 2 reason text")
leaf(12, "key_rotate", "1 node key, 2 root_signature sig, 3 certificate bytes")
leaf(13, "witness_register", "1 certificate bytes")
leaf(14, "recovery_name", "1 key key")
leaf(15, "recovery_claim", "1 account account, 2 root key, 3 root_signature sig")
leaf(16, "recovery_finish", "1 account account")
leaf(17, "param_change", "1 first_epoch u64, 2 params params, 3 governors signature[]")
leaf(18, "role_grants", "1 first_epoch u64, 2 role u8, 3 grants grant[], 4 governors signature[]")
leaf(19, "seed_reveal", "1 epoch u64, 2 seed hash")
leaf(20, "audit_verdict", "1 epoch u64, 2 step u64, 3 stage u32, 4 microbatch u32, 5 attempt u32,"
     "6 node key, 7 passed bool, 8 error_ppb u64, 9 evidence hash")
leaf(21, "credit_void", "1 epoch u64, 2 account account, 3 reason text, 4 evidence hash")
leaf(22, "unit_transfer", "1 from account, 2 to account, 3 units u64, 4 price u64, 5 expires u64,"
     "6 reference text")
leaf(23, "bond", "1 units u64")
leaf(24, "bond_release", "1 units u64")
leaf(25, "penalty", "1 account account, 2 units u64, 3 reason text, 4 evidence hash")
leaf(26, "revenue_reported", "1 amount u64, 2 reference text, 3 statement hash")
leaf(27, "correction", "1 entry u64, 2 amount u64, 3 reason text")
leaf(28, "settle", "1 accounts ref[]")
leaf(29, "payout_initiated", "1 account account, 2 number u64, 3 amount u64")
leaf(30, "payout_final", "1 account account, 2 number u64, 3 paid bool, 4 reference text")
leaf(31, "state_snapshot", "1 entries u64, 2 owners_root hash, 3 owners u64, 4 units units,"
     "5 money money")
leaf(32, "log_key_rotate", "1 key key, 2 until u64, 3 old_signature sig, 4 new_signature sig")

schema("units_file", "1 version u32, 2 epoch u64, 3 first_step u64, 4 last_step u64, 5 nodes node[],"
       "6 members member[], 7 digests digest[], 8 units unit[]")
schema("node", "1 id key")
schema("member", "1 stage u32, 2 node key, 3 incarnation u64")
schema("digest", "1 step u64, 2 stage u32, 3 fingerprint fp")
schema("unit", "1 step u64, 2 stage u32, 3 microbatch u32, 4 attempt u32, 5 node u32, 6 repair bool")
schema("unit_leaf", "1 step u64, 2 stage u32, 3 microbatch u32, 4 attempt u32, 5 node key,"
       "6 repair bool")
