// Any bytes as what is posted to a coordinator's ledger, and as a work batch from the network:
// refused, or they say exactly what is asked for, so that writing it again gives the same bytes.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "ledger/requests.h"
#include "protocol/base/check.h"
#include "tests/fuzz/fuzz_keys.h"

namespace {

using namespace coshard;
using namespace coshard::ledger;

bool is_right(ByteView bytes, ByteView again) {
  return std::equal(bytes.begin(), bytes.end(), again.begin(), again.end());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const crypto::KeyPair key = fuzz::sender_keys();
  const ByteView input(bytes, size);
  const auto asked = read_request(input, fuzz::kNetwork, key.public_key());
  if (asked) {
    if (const auto* body = std::get_if<VerifiedBody>(&*asked)) {
      COSHARD_CHECK(body->network() == fuzz::kNetwork);
      COSHARD_CHECK(is_right(input, encode_request(fuzz::kNetwork, body->signed_body())));
    } else if (const auto* leaf = std::get_if<Leaf>(&*asked)) {
      COSHARD_CHECK(is_right(input, encode_request(fuzz::kNetwork, *leaf)));
    } else {
      const auto& said = std::get<OperatorLeaves>(*asked);
      COSHARD_CHECK(!said.leaves.empty() && said.leaves.size() <= kRequestLeavesMax);
      COSHARD_CHECK(is_right(input, encode_request(fuzz::kNetwork, key, said.since, said.leaves)));
    }
  }
  if (const auto batch = read_work_batch(input, fuzz::kNetwork)) {
    COSHARD_CHECK(is_right(input, encode(batch->signed_body())));
    COSHARD_CHECK(type_of(batch->body().leaf) == LeafType::kWorkBatch);
  }
  return 0;
}
