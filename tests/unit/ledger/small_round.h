// A small round for ledger tests: its keys, its genesis, summaries of its epochs. Deterministic.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <map>

#include "crypto/identity.h"
#include "ledger/receipt.h"
#include "ledger/round_ledger.h"
#include "ledger/store/memory_store.h"

namespace coshard::ledger {

/// Fails the test with the error's message when a Result holds one.
#define ASSERT_OK(expression)                                                                 \
  do {                                                                                        \
    const auto& assert_ok_result = (expression);                                              \
    ASSERT_TRUE(assert_ok_result.has_value())                                                 \
        << #expression << ": " << (assert_ok_result ? "" : assert_ok_result.error().message); \
  } while (false)

#define EXPECT_ERROR(expression, expected_code)                                      \
  do {                                                                               \
    const auto& expect_error_result = (expression);                                  \
    ASSERT_FALSE(expect_error_result.has_value()) << #expression;                    \
    EXPECT_EQ(to_string(expect_error_result.error().code), to_string(expected_code)) \
        << expect_error_result.error().message;                                      \
  } while (false)

/// Files in memory, which can stop for good after some writes, as a process that is killed does.
class MemoryFolder final : public LogFolder {
 public:
  Result<void> write(std::string_view path, ByteView bytes) override {
    if (writes_left == 0) return fail(ErrorCode::kResourceExhausted, "the folder is full");
    if (writes_left > 0) --writes_left;
    files[std::string(path)] = to_bytes(bytes);
    return {};
  }
  Result<Bytes> read(std::string_view path, std::size_t max) const override {
    const auto found = files.find(std::string(path));
    if (found == files.end()) return fail(ErrorCode::kNotFound, describe(path) + ": no such file");
    if (found->second.size() > max) return fail(ErrorCode::kCorruption, describe(path));
    return found->second;
  }
  Result<void> remove(std::string_view path) override {
    files.erase(std::string(path));
    return {};
  }
  Result<std::vector<std::string>> list(std::string_view path) const override {
    std::vector<std::string> out;
    for (const auto& [name, bytes] : files) {
      if (path.empty() || name.starts_with(std::string(path) + "/")) out.push_back(name);
    }
    return out;
  }
  std::string describe(std::string_view path) const override { return "mem/" + std::string(path); }

  std::map<std::string, Bytes> files;
  int writes_left = -1;  ///< negative: no limit
};

/// Of the owner `root`, with the operating and the CURVE key `number`.
inline crypto::Identity test_identity(std::uint8_t root, std::uint8_t number) {
  Bytes secret(105);
  secret[0] = 1;
  for (std::size_t i = 1; i < 97; ++i) {
    secret[i] = static_cast<std::uint8_t>((i < 33 ? root : number) * 7 + i);
  }
  secret[104] = 1;
  return std::move(*crypto::Identity::decode_secret(secret));
}

inline crypto::Identity test_identity(std::uint8_t number) { return test_identity(number, number); }

inline crypto::KeyPair test_key(std::uint8_t number) {
  return std::move(*crypto::KeyPair::from_seed(Bytes(32, number)));
}

inline std::vector<Grant> whole_grant(std::uint8_t account) {
  Grant grant;
  grant.account.bytes.fill(account);
  grant.basis_points = kBasisPoints;
  return {grant};
}

/// As the coordinator does with a batch that comes from the network.
inline Result<LogIndex> admit(RoundLedger& ledger, const Bytes& signed_batch) {
  COSHARD_ASSIGN(const VerifiedBody batch,
                 read_work_batch(signed_batch, ledger.accounts().network()));
  return ledger.admit(batch);
}

struct SmallRound {
  explicit SmallRound(std::uint32_t stages = 2, std::uint32_t replicas = 2) {
    params.model = "small";
    params.origin = *make_origin("example.org", "small");
    params.unit_cap = 1'000'003;
    params.split = {8000, 1500, 500, 0};
    params.data = whole_grant(0xd0);
    params.design = whole_grant(0xd1);
    params.total_steps = 50;
    params.epoch_steps = 10;
    for (std::uint32_t s = 0; s < stages; ++s) params.stage_prices.push_back(1000 + 37 * s);
    params.microbatches = 3;
    params.tokens_per_microbatch = 64;
    for (std::uint32_t i = 0; i < stages * replicas; ++i) {
      nodes.push_back(test_identity(static_cast<std::uint8_t>(i + 1)));
    }
  }

  const crypto::Identity& holder(std::uint64_t step, std::uint32_t microbatch,
                                 std::uint32_t stage) const {
    const std::size_t stages = params.stage_prices.size();
    const std::size_t replicas = nodes.size() / stages;
    return nodes[stage + stages * ((step * 5 + microbatch * microbatch) % replicas)];
  }

  /// Steps first..last, every unit counted once.
  EpochSummary summary(std::uint64_t epoch, std::uint64_t first, std::uint64_t last) const {
    EpochSummary out;
    out.epoch = LedgerEpoch(epoch);
    out.first_step = StepId(first);
    out.last_step = StepId(last);
    const auto stages = static_cast<std::uint32_t>(params.stage_prices.size());
    for (std::uint64_t step = first; step <= last; ++step) {
      for (std::uint32_t stage = 0; stage < stages; ++stage) {
        for (std::uint32_t m = 0; m < params.microbatches; ++m) {
          out.units.push_back(
              {Unit{StepId(step), MicrobatchIndex(m), StageIndex(stage), Attempt(0)},
               holder(step, m, stage).node(), false});
        }
        Fingerprint digest{};
        digest[0] = static_cast<std::uint8_t>(step);
        out.digests.push_back({StepId(step), StageIndex(stage), digest});
      }
    }
    return out;
  }

  std::vector<ShardHash> shards() const {
    std::vector<ShardHash> out;
    for (std::uint32_t s = 0; s < params.stage_prices.size(); ++s) {
      out.push_back({StageIndex(s), Hash{}});
      out.back().sha256.fill(static_cast<std::uint8_t>(s + 1));
    }
    return out;
  }

  Result<RoundLedger> open() {
    return RoundLedger::open(*store, *folder, operating, log_key, clock);
  }

  /// Genesis and every node; nothing is published.
  Result<RoundLedger> begin() {
    COSHARD_ASSIGN(RoundLedger ledger, open());
    COSHARD_TRY(ledger.genesis(params));
    for (const crypto::Identity& node : nodes) {
      COSHARD_TRY(ledger.register_identity(node.certificate()));
    }
    return ledger;
  }

  /// Closes an epoch, with every node's own batch, and credits it.
  Result<void> run_epoch(RoundLedger& ledger, std::uint64_t epoch, std::uint64_t first,
                         std::uint64_t last) {
    COSHARD_TRY(ledger.close_epoch(summary(epoch, first, last)));
    for (const NodeTotal& total : ledger.missing_batches(LedgerEpoch(epoch))) {
      COSHARD_TRY(admit(ledger, batch_bytes(ledger, epoch, total)));
    }
    if (params.stage_prices.size() == 1) return {};
    return ledger.credit(LedgerEpoch(epoch));
  }

  Bytes batch_bytes(const RoundLedger& ledger, std::uint64_t epoch, const NodeTotal& total) const {
    const Accounts& accounts = ledger.accounts();
    const WorkClaim claim{LedgerEpoch(epoch), total.stage, total.node, total.units, total.repairs};
    const auto batch = make_batch(accounts.genesis(), accounts.network(), claim, {});
    for (const crypto::Identity& node : nodes) {
      if (node.node() == total.node)
        return sign_batch(node.operating(), accounts.network(), *batch);
    }
    return {};
  }

  Genesis params;
  std::vector<crypto::Identity> nodes;
  crypto::KeyPair operating = test_key(201);
  crypto::KeyPair log_key = test_key(202);
  ManualClock clock;
  std::shared_ptr<Store> store = std::make_shared<MemoryStore>();
  std::shared_ptr<LogFolder> folder = std::make_shared<MemoryFolder>();
};

}  // namespace coshard::ledger
