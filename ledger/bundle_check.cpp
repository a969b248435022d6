// SPDX-License-Identifier: Apache-2.0
#include "ledger/bundle_check.h"

#include "crypto/signed_payload.h"
#include "protocol/base/parallel.h"

namespace coshard::ledger {

Error BundleChecker::at_entry(std::uint64_t index, const Error& error) const {
  const TileId bundle{TileId::kEntries, index / kTileWidth, kTileWidth};
  return {ErrorCode::kCorruption, growth_->folder().describe(bundle.path()) + ": entry " +
                                      std::to_string(index) + ": " + error.message};
}

Result<CheckedEntry> BundleChecker::check_entry(std::uint64_t index, ByteView bytes) const {
  CheckedEntry out;
  COSHARD_ASSIGN(out.entry, decode_entry(bytes));
  COSHARD_ASSIGN(out.body, decode_body(out.entry.body));
  if (signatures_ == SignatureCheck::kDone) return out;
  const NetworkId network = index == 0 ? crypto::kNoNetwork : *network_;
  COSHARD_TRY(verify_signatures(out.body.author, network, out.entry.body, out.entry.signatures));
  return out;
}

Result<CheckedBundle> BundleChecker::check_one(std::uint64_t number) const {
  CheckedBundle out;
  COSHARD_ASSIGN(out.grown, growth_->bundle(number));
  out.entries.reserve(out.grown.entries.size());
  for (const Bytes& bytes : out.grown.entries) {
    const std::uint64_t index = out.grown.first + out.entries.size();
    auto checked = check_entry(index, bytes);
    if (!checked) return tl::unexpected(at_entry(index, checked.error()));
    out.entries.push_back(std::move(*checked));
  }
  return out;
}

Result<std::vector<CheckedBundle>> BundleChecker::check(std::uint64_t begin, std::uint64_t end) {
  if (!network_) {
    COSHARD_ASSIGN(const GrownBundle first, growth_->bundle(0));
    network_ = crypto::network_id(first.entries.front());
  }
  std::vector<Result<CheckedBundle>> checked(end - begin);
  parallel_for(checked.size(), 1, [&](std::size_t i) { checked[i] = check_one(begin + i); });
  std::vector<CheckedBundle> out;
  for (Result<CheckedBundle>& one : checked) {
    COSHARD_TRY(one);
    out.push_back(std::move(*one));
  }
  return out;
}

}  // namespace coshard::ledger
