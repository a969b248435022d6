// SPDX-License-Identifier: Apache-2.0
#include "node/cli/ledger_proofs.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "ledger/evidence.h"
#include "ledger/proof_file.h"
#include "ledger/tree_path.h"
#include "node/cli/balance_proof.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_folder.h"
#include "node/cli/ledger_trust.h"
#include "protocol/base/limits.h"

namespace coshard::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

int say(std::ostream& err, const Error& error, int code) {
  err << "coshard: " << error.message << "\n";
  return code;
}

Result<std::string> read_file(const fs::path& path, std::size_t max) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::kNotFound, path.string() + ": expected a file, found none");
  std::string text;
  for (char c = 0; text.size() <= max && in.get(c);) text += c;
  if (text.size() <= max) return text;
  return fail(ErrorCode::kInvalidArgument,
              path.string() + ": expected at most " + std::to_string(max) + " bytes");
}

/// Replaced whole, durably.
Result<void> write_file(const fs::path& path, std::string_view text) {
  ledger::DiskFolder folder(path.has_parent_path() ? path.parent_path() : fs::path("."));
  return folder.write(path.filename().string(), as_bytes(text));
}

/// The entry at `index`, out of the bundles that were verified a moment ago.
Result<Bytes> read_entry(const fs::path& folder, const ledger::VerifiedLedger& ledger,
                         std::uint64_t index) {
  const std::uint64_t size = ledger.checkpoint.size;
  ledger::TileId tile{ledger::TileId::kEntries, index / ledger::kTileWidth, ledger::kTileWidth};
  if (tile.number == size / ledger::kTileWidth) tile.width = size % ledger::kTileWidth;
  const ledger::DiskFolder disk(folder);
  COSHARD_ASSIGN(const Bytes bundle,
                 disk.read(tile.path(), ledger::kTileWidth * (2 + limits::kEntryBytesMax)));
  COSHARD_ASSIGN(auto entries, ledger::decode_bundle(bundle, tile.width));
  Bytes entry = std::move(entries[index % ledger::kTileWidth]);
  if (ledger::leaf_hash(entry) == ledger.hashes.leaves()[index]) return entry;
  return fail(ErrorCode::kCorruption, disk.describe(tile.path()) + ": changed while it was read");
}

std::string list(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out.empty() ? "nobody" : out;
}

}  // namespace

Result<ledger::ProofFile> make_proof(const LedgerQuery& query) {
  COSHARD_ASSIGN(const std::vector<fs::path> folders, find_ledgers(query, /*only_one=*/true));
  COSHARD_ASSIGN(const ObservedLedger read,
                 read_folder(folders.front(), query, Depth::kBalances, std::nullopt));
  const ledger::VerifiedLedger& ledger = read.ledger;
  const std::uint64_t size = ledger.checkpoint.size;
  if (query.index >= size)
    return fail(ErrorCode::kInvalidArgument, "--index: expected less than " + std::to_string(size) +
                                                 ", found " + std::to_string(query.index));
  ledger::ProofFile proof;
  COSHARD_ASSIGN(proof.extra, read_entry(folders.front(), ledger, query.index));
  proof.index = LogIndex(query.index);
  proof.path = ledger::inclusion_path(ledger.hashes, size, proof.index);
  proof.note = ledger.note;
  return proof;
}

int run_make_proof(const LedgerQuery& query, std::ostream& out, std::ostream& err) {
  const auto proof = make_proof(query);
  if (!proof) {
    const bool input = proof.error().code == ErrorCode::kInvalidArgument;
    return say(err, proof.error(), input ? kBadInput : kFailed);
  }
  if (auto written = write_file(query.out, proof->format()); !written)
    return say(err, written.error(), kFailed);
  if (query.json) {
    out << Json{{"file", query.out.string()},
                {"index", query.index},
                {"hashes", proof->path.size()}}
               .dump()
        << "\n";
    return kDone;
  }
  out << query.out.string() << ": entry " << query.index << ", " << proof->path.size()
      << " hashes. Check it anywhere:\n  coshard verify --proof " << query.out.string()
      << " --policy FILE (or --vkey KEY)\n";
  return kDone;
}

int run_check_proof(const fs::path& file, const fs::path& entry_file, const LedgerQuery& query,
                    std::ostream& out, std::ostream& err) {
  const auto trust = trust_of(query);
  if (!trust) return say(err, trust.error(), kBadInput);
  if (!trust->pinned && trust->policy.logs().empty())
    return say(err,
               {ErrorCode::kInvalidArgument,
                "--proof: expected a log to believe: --policy FILE that lists it, or --vkey KEY"},
               kBadInput);
  const auto text = read_file(file, 4 * limits::kNoteBytesMax);
  if (!text) return say(err, text.error(), kBadInput);
  if (is_balance_proof(*text)) return run_check_balance(*text, query, out, err);
  const auto proof = ledger::ProofFile::parse(*text);
  if (!proof) return say(err, proof.error().within(file.string()), kBadInput);
  Bytes entry = proof->extra.value_or(Bytes{});
  if (!entry_file.empty()) {
    const auto bytes = read_file(entry_file, limits::kEntryBytesMax);
    if (!bytes) return say(err, bytes.error(), kBadInput);
    entry = to_bytes(as_bytes(*bytes));
  }
  const auto shown = ledger::verify_proof(*proof, entry, trust->policy, trust->pinned);
  if (!shown) return say(err, shown.error().within(file.string() + " does not hold"), kFailed);
  const ledger::Checkpoint& checkpoint = shown->checkpoint;
  if (query.json) {
    out << Json{{"verified", true},
                {"origin", checkpoint.origin},
                {"index", proof->index.value},
                {"size", checkpoint.size},
                {"witnesses", shown->witnesses},
                {"entry", to_hex(entry)}}
               .dump(2)
        << "\n";
    return kDone;
  }
  out << "verified: this entry (" << entry.size() << " bytes) is number " << proof->index.value
      << " of " << checkpoint.size << " in " << checkpoint.origin << "; cosigned by "
      << list(shown->witnesses) << "\n";
  return kDone;
}

int run_evidence(const fs::path& file, bool json, std::ostream& out, std::ostream& err) {
  const auto text = read_file(file, limits::kEvidenceBytesMax);
  if (!text) return say(err, text.error(), kBadInput);
  const auto evidence = ledger::ForkEvidence::parse(*text);
  if (!evidence) return say(err, evidence.error().within(file.string()), kBadInput);
  const auto fork = ledger::examine(*evidence);
  if (!fork) return say(err, fork.error().within(file.string() + " proves nothing"), kFailed);
  if (json) {
    out << Json{{"fork", true},
                {"log", evidence->log.vkey()},
                {"first", {{"size", fork->first.size}, {"root", to_base64(fork->first.root)}}},
                {"second", {{"size", fork->second.size}, {"root", to_base64(fork->second.root)}}}}
               .dump(2)
        << "\n";
    return kDone;
  }
  out << fork->words << "\n";
  return kDone;
}

Error one_ledger_for_seen() {
  return {ErrorCode::kInvalidArgument,
          "--seen: expected one ledger, found several; name its folder"};
}

Result<void> hold_against_seen(const fs::path& seen, const ledger::VerifiedLedger& ledger) {
  const auto before = read_file(seen, limits::kNoteBytesMax);
  if (!before && before.error().code == ErrorCode::kNotFound) return write_file(seen, ledger.note);
  COSHARD_ASSIGN(const std::string note, before);
  const auto last = ledger::open_checkpoint(note, ledger.key);
  if (!last) return tl::unexpected(last.error().within(seen.string()));
  const bool newer = last->size <= ledger.checkpoint.size;
  if (newer && ledger::root_at(ledger.hashes, last->size) == last->root)
    return write_file(seen, ledger.note);
  ledger::ForkEvidence evidence{ledger.key, note, ledger.note, {}};
  if (last->size < ledger.checkpoint.size)
    evidence.path = ledger::whole_path(ledger.hashes, ledger.checkpoint.size, last->size);
  if (!newer)
    return fail(ErrorCode::kFailedPrecondition,
                "a log of at least " + std::to_string(last->size) + " entries was seen before (" +
                    seen.string() + "), found one of " + std::to_string(ledger.checkpoint.size) +
                    ": somebody shows an old state");
  const fs::path file = seen.string() + ".fork";
  COSHARD_TRY(write_file(file, evidence.format()));
  return fail(ErrorCode::kCorruption, "this log does not continue the one that was seen before (" +
                                          seen.string() + "): it has forked; the evidence is in " +
                                          file.string() + " (coshard verify --evidence)");
}

}  // namespace coshard::cli
