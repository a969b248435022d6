// The exported tree against what @openzeppelin/merkle-tree 1.0.8 makes of the same shares.
// SPDX-License-Identifier: Apache-2.0
#include "ledger/distributor.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

TEST(Distributor, KeccakIsTheOneBeforeSha3) {
  EXPECT_EQ(to_hex(keccak256({})),
            "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470");
}

/// n accounts of which the i-th has 1000 i + 7 units.
std::vector<DistributorShare> shares(std::uint8_t count) {
  std::vector<DistributorShare> out;
  for (std::uint8_t i = 1; i <= count; ++i) {
    DistributorShare share;
    share.account.bytes.fill(i);
    share.units = 1000u * i + 7;
    out.push_back(share);
  }
  return out;
}

TEST(Distributor, IsTheTreeOfTheNpmPackage) {
  const auto tree = distributor_tree(shares(5));
  ASSERT_OK(tree);
  EXPECT_EQ(to_hex(tree->nodes[0]),
            "58617a49f2fd6ef8ffc14d9d0fc42dc971948039bbe76486e5063c4e8aec7646");
  EXPECT_EQ(to_hex(tree->nodes[5]),
            "3c7aa69963561c8aba9c74e085684b110c477e30aab3e1c7969654842e368557");
  EXPECT_EQ(tree->places, (std::vector<std::size_t>{8, 6, 7, 4, 5}));
  const auto one = distributor_tree(shares(1));
  ASSERT_OK(one);
  EXPECT_EQ(to_hex(one->nodes[0]),
            "02969914637ac336c7eb6d7864ce3b299a7f368e98fac3342444b7e3c69f2d64");
  EXPECT_ERROR(distributor_tree({}), ErrorCode::kFailedPrecondition);
}

TEST(Distributor, IsWrittenInItsFormat) {
  const auto json = nlohmann::json::parse(distributor_json(*distributor_tree(shares(5))));
  EXPECT_EQ(json["format"], "standard-v1");
  EXPECT_EQ(json["leafEncoding"], nlohmann::json::parse(R"(["bytes32", "uint256"])"));
  EXPECT_EQ(json["tree"].size(), 9U);
  EXPECT_EQ(json["values"][1]["value"][0].get<std::string>(), "0x" + shares(2)[1].account.hex());
  EXPECT_EQ(json["values"][1]["value"][1], "2007");
  EXPECT_EQ(json["values"][1]["treeIndex"], 6);
}

}  // namespace
}  // namespace coshard::ledger
