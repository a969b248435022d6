// SPDX-License-Identifier: Apache-2.0
#include "ledger/bundle_check.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "crypto/signed_payload.h"

namespace coshard::ledger {
namespace {

/// More do not help where the fold of one thread is to keep up.
constexpr std::size_t kThreadsMax = 8;

}  // namespace

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
  std::atomic<std::uint64_t> next{0};
  const auto work = [&] {
    for (std::uint64_t i = next++; i < checked.size(); i = next++)
      checked[i] = check_one(begin + i);
  };
  const std::size_t cores = std::max<std::size_t>(std::thread::hardware_concurrency(), 1);
  const std::size_t threads = std::min({cores, kThreadsMax, checked.size()});
  {
    std::vector<std::jthread> others;
    for (std::size_t i = 1; i < threads; ++i) others.emplace_back(work);
    work();
  }
  std::vector<CheckedBundle> out;
  for (Result<CheckedBundle>& one : checked) {
    COSHARD_TRY(one);
    out.push_back(std::move(*one));
  }
  return out;
}

}  // namespace coshard::ledger
