// SPDX-License-Identifier: Apache-2.0
#include "ledger/distributor.h"

#include <crypto++/keccak.h>

#include <algorithm>
#include <numeric>

namespace coshard::ledger {
namespace {

Hash hash_pair(const Hash& a, const Hash& b) {
  Bytes both = to_bytes(std::min(a, b));
  append(both, std::max(a, b));
  return keccak256(both);
}

/// abi.encode pads a number to 32 bytes, big-endian.
Hash hash_share(const DistributorShare& share) {
  Bytes encoded = to_bytes(share.account.view());
  encoded.resize(encoded.size() + 24);
  put_be<std::uint64_t>(encoded, share.units);
  return keccak256(keccak256(encoded));
}

}  // namespace

Hash keccak256(ByteView bytes) {
  CryptoPP::Keccak_256 hash;
  hash.Update(bytes.data(), bytes.size());
  Hash out{};
  hash.Final(out.data());
  return out;
}

std::vector<DistributorShare> distributor_shares(const Accounts& accounts) {
  std::vector<DistributorShare> out;
  for (const auto& [account, balance] : accounts.balances()) {
    if (balance.posted > 0) out.push_back({account, balance.posted});
  }
  return out;
}

/// Leaves lie at the end of the array, the smallest hash last.
Result<DistributorTree> distributor_tree(std::vector<DistributorShare> shares) {
  if (shares.empty()) {
    return fail(ErrorCode::kFailedPrecondition, "nobody owns posted units yet: there is no tree");
  }
  DistributorTree out;
  out.shares = std::move(shares);
  std::vector<Hash> leaves;
  for (const DistributorShare& share : out.shares) leaves.push_back(hash_share(share));
  std::vector<std::size_t> order(leaves.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return leaves[a] < leaves[b]; });
  out.nodes.resize(2 * leaves.size() - 1);
  out.places.resize(leaves.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t place = out.nodes.size() - 1 - i;
    out.nodes[place] = leaves[order[i]];
    out.places[order[i]] = place;
  }
  for (std::size_t i = out.nodes.size() - leaves.size(); i-- > 0;) {
    out.nodes[i] = hash_pair(out.nodes[2 * i + 1], out.nodes[2 * i + 2]);
  }
  return out;
}

std::string distributor_json(const DistributorTree& tree) {
  std::string out = "{\"format\":\"standard-v1\",\"leafEncoding\":[\"bytes32\",\"uint256\"],\n";
  out += "\"tree\":[";
  for (const Hash& node : tree.nodes) {
    out += (&node == &tree.nodes.front() ? "\n\"0x" : ",\n\"0x") + to_hex(node) + "\"";
  }
  out += "],\n\"values\":[";
  for (std::size_t i = 0; i < tree.shares.size(); ++i) {
    out += std::string(i == 0 ? "\n" : ",\n") + "{\"value\":[\"0x" + tree.shares[i].account.hex() +
           "\",\"" + std::to_string(tree.shares[i].units) +
           "\"],\"treeIndex\":" + std::to_string(tree.places[i]) + "}";
  }
  return out + "]}\n";
}

}  // namespace coshard::ledger
