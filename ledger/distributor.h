// Who owns how much as a Merkle tree that existing contracts read: the "standard-v1" tree of the
// npm package @openzeppelin/merkle-tree, with leaves (bytes32 account, uint256 units). Leaves are
// keccak256(keccak256(abi.encode(account, units))), inner nodes keccak256 of the sorted pair. Pure;
// any thread. The one file that sees Crypto++ is distributor.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "ledger/accounts.h"

namespace coshard::ledger {

/// Keccak-256 as it was before it became SHA-3.
Hash keccak256(ByteView bytes);

struct DistributorShare {
  AccountId account;
  std::uint64_t units = 0;
  bool operator==(const DistributorShare&) const = default;
};

struct DistributorTree {
  std::vector<DistributorShare> shares;
  std::vector<std::size_t> places;  ///< in `nodes`, by share
  std::vector<Hash> nodes;          ///< the root first, the children of i at 2i+1 and 2i+2
};

/// All accounts with posted units, ascending.
std::vector<DistributorShare> distributor_shares(const Accounts& accounts);

/// kFailedPrecondition when nobody owns anything: there is no tree without leaves.
Result<DistributorTree> distributor_tree(std::vector<DistributorShare> shares);

/// The package's own JSON, ended by a newline.
std::string distributor_json(const DistributorTree& tree);

}  // namespace coshard::ledger
