// The text of a proof, lines ended by newlines:
//
//     coshard-balance/v1
//     owner <base64 of the canonical OwnerLeaf>
//     place <number of the leaf among the owners, ascending accounts, from 0>
//     <base64 of a hash of the path, from the leaf's sibling upward>, none or more lines
//     (an empty line)
//     <.tlog-proof of the StateSnapshot, with the entry's bytes>
//
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/balance_proof.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <ostream>

#include "node/cli/exit_code.h"
#include "node/cli/ledger_folder.h"
#include "node/cli/ledger_proofs.h"
#include "node/cli/ledger_trust.h"
#include "node/cli/ledger_words.h"
#include "node/progress.h"

namespace coshard::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kHeader = "coshard-balance/v1\n";
constexpr std::size_t kPathMax = 64;

tl::unexpected<Error> bad(const std::string& what) {
  return fail(ErrorCode::kInvalidArgument, "proof of a balance: " + what);
}

int say(std::ostream& err, const Error& error) {
  err << "coshard: " << error.message << "\n";
  const bool input =
      error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kNotFound;
  return input ? kBadInput : kFailed;
}

/// The next line without its end; the rest stays in `text`. Nothing when no line ends.
std::optional<std::string_view> take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  return line;
}

/// The owners as they were at the last snapshot.
struct LastSnapshot {
  std::optional<LogIndex> index;
  std::vector<ledger::OwnerLeaf> owners;
};

Result<BalanceProof> make(const LedgerQuery& query) {
  COSHARD_ASSIGN(const auto folders, find_ledgers(query, /*only_one=*/true));
  COSHARD_ASSIGN(const ledger::ReaderTrust trust, trust_of(query));
  LastSnapshot last;
  const auto observe = [&last](const ledger::VerifiedEntry& entry,
                               const ledger::Accounts& accounts) {
    if (!std::holds_alternative<ledger::StateSnapshot>(entry.body.leaf)) return;
    last = {entry.index, accounts.owner_leaves()};
  };
  const ledger::DiskFolder disk(folders.front());
  COSHARD_ASSIGN(ledger::VerifiedLedger ledger, ledger::read_ledger(disk, trust, observe));
  if (!last.index)
    return fail(ErrorCode::kFailedPrecondition,
                "the ledger has no snapshot yet: one comes when units are posted");
  std::vector<ObservedLedger> known;
  known.push_back({std::move(ledger), {}});
  COSHARD_ASSIGN(const AccountId account, find_account(query.account, known));
  BalanceProof proof;
  std::vector<Hash> leaves;
  bool is_owner = false;
  for (const ledger::OwnerLeaf& owner : last.owners) {
    if (owner.account == account) {
      is_owner = true;
      proof.owner = owner;
      proof.place = LogIndex(leaves.size());
    }
    leaves.push_back(ledger::leaf_hash(ledger::encode(owner)));
  }
  if (!is_owner)
    return fail(
        ErrorCode::kFailedPrecondition,
        "the account had nothing at the last snapshot, entry " + std::to_string(last.index->value));
  proof.path = ledger::inclusion_path(leaves, proof.place);
  LedgerQuery entry = query;
  entry.index = last.index->value;
  COSHARD_ASSIGN(proof.snapshot, make_proof(entry));
  return proof;
}

Json describe(const ledger::OwnerLeaf& owner) {
  return {
      {"account", owner.account.hex()}, {"posted", owner.posted}, {"pending", owner.pending},
      {"bonded", owner.bonded},         {"owed", owner.owed},     {"in_flight", owner.in_flight}};
}

}  // namespace

bool is_balance_proof(std::string_view text) { return text.starts_with(kHeader); }

std::string BalanceProof::format() const {
  std::string out(kHeader);
  out += "owner " + to_base64(ledger::encode(owner)) + "\n";
  out += "place " + std::to_string(place.value) + "\n";
  for (const Hash& hash : path) out += to_base64(hash) + "\n";
  return out + "\n" + snapshot.format();
}

Result<BalanceProof> BalanceProof::parse(std::string_view text) {
  const std::string whole(text);
  if (!is_balance_proof(text)) return bad("expected the line coshard-balance/v1");
  text.remove_prefix(kHeader.size());
  BalanceProof out;
  const auto owner = take_line(text);
  if (!owner || !owner->starts_with("owner ")) return bad("expected a line \"owner …\"");
  const auto bytes = from_base64(owner->substr(6));
  if (!bytes) return bad("expected base64 after \"owner\"");
  COSHARD_ASSIGN(out.owner, ledger::decode<ledger::OwnerLeaf>(*bytes));
  const auto place = take_line(text);
  if (!place || !place->starts_with("place ")) return bad("expected a line \"place …\"");
  const char* end = place->data() + place->size();
  const auto [at, error] = std::from_chars(place->data() + 6, end, out.place.value);
  if (error != std::errc() || at != end) return bad("expected a number after \"place\"");
  for (;;) {
    const auto line = take_line(text);
    if (!line || out.path.size() > kPathMax) return bad("expected up to 64 hashes");
    if (line->empty()) break;
    const auto hash = to_array<32>(from_base64(*line).value_or(Bytes{}));
    if (!hash) return bad("expected a hash in base64");
    out.path.push_back(*hash);
  }
  COSHARD_ASSIGN(out.snapshot, ledger::ProofFile::parse(text));
  if (out.format() != whole) return bad("expected the one way of writing it");
  return out;
}

Result<ProvedBalance> verify_balance(const BalanceProof& proof, const ledger::Policy& policy,
                                     const std::optional<ledger::NoteKey>& pinned) {
  const Bytes entry_bytes = proof.snapshot.extra.value_or(Bytes{});
  ProvedBalance out;
  COSHARD_ASSIGN(out.checkpoint, ledger::verify_proof(proof.snapshot, entry_bytes, policy, pinned));
  COSHARD_ASSIGN(const ledger::LedgerEntry entry, ledger::decode_entry(entry_bytes));
  COSHARD_ASSIGN(const ledger::Body body, ledger::decode_body(entry.body));
  const auto* snapshot = std::get_if<ledger::StateSnapshot>(&body.leaf);
  if (snapshot == nullptr)
    return fail(ErrorCode::kCorruption, "the entry that is proved is no snapshot");
  out.snapshot = *snapshot;
  COSHARD_TRY(ledger::verify_inclusion(proof.place, snapshot->owners,
                                       ledger::leaf_hash(ledger::encode(proof.owner)), proof.path,
                                       snapshot->owners_root));
  return out;
}

int run_balance_proof(const LedgerQuery& query, std::ostream& out, std::ostream& err) {
  const auto proof = make(query);
  if (!proof) return say(err, proof.error());
  const std::string text = proof->format();
  ledger::DiskFolder folder(query.out.has_parent_path() ? query.out.parent_path() : ".");
  if (const auto written = folder.write(query.out.filename().string(), as_bytes(text)); !written)
    return say(err, written.error());
  out << query.out.string() << ": account " << proof->owner.account.short_hex() << " as of entry "
      << proof->snapshot.index.value << ". Check it anywhere:\n  coshard verify --proof "
      << query.out.string() << " --policy FILE (or --vkey KEY)\n";
  return kDone;
}

int run_check_balance(std::string_view text, const LedgerQuery& query, std::ostream& out,
                      std::ostream& err) {
  const auto proof = BalanceProof::parse(text);
  if (!proof) return say(err, proof.error());
  const auto trust = trust_of(query);
  if (!trust) return say(err, trust.error());
  const auto proved = verify_balance(*proof, trust->policy, trust->pinned);
  if (!proved) {
    err << "coshard: the proof does not hold: " << proved.error().message << "\n";
    return kFailed;
  }
  Json json = describe(proof->owner);
  json["verified"] = true;
  json["origin"] = proved->checkpoint.checkpoint.origin;
  json["entries"] = proved->snapshot.entries;
  if (query.json) {
    out << json.dump(2) << "\n";
    return kDone;
  }
  out << "verified: after " << proved->snapshot.entries << " entries of "
      << proved->checkpoint.checkpoint.origin << ", account " << proof->owner.account.hex()
      << " had\n  " << node::render_count(proof->owner.posted) << " units posted, "
      << node::render_count(proof->owner.pending) << " pending, "
      << node::render_count(proof->owner.bonded) << " bonded; " << money_text(proof->owner.owed, "")
      << " owed as last settled, " << money_text(proof->owner.in_flight, "") << " on its way\n";
  return kDone;
}

}  // namespace coshard::cli
