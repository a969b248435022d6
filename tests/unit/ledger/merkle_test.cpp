// SPDX-License-Identifier: Apache-2.0
#include "ledger/merkle.h"

#include <gtest/gtest.h>

#include <bit>

#include "tests/support/shared_vectors.h"

namespace coshard::ledger {
namespace {

/// RFC 6962 section 2.1, as it is written there: the slow reference.
Hash reference_root(std::span<const Hash> leaves) {
  if (leaves.empty()) return empty_root();
  if (leaves.size() == 1) return leaves[0];
  std::size_t split = 1;
  while (split * 2 < leaves.size()) split *= 2;
  return node_hash(reference_root(leaves.first(split)), reference_root(leaves.subspan(split)));
}

std::vector<Hash> numbered_leaves(std::uint64_t count) {
  std::vector<Hash> out;
  for (std::uint64_t i = 0; i < count; ++i) {
    Bytes entry;
    put_be(entry, i);
    out.push_back(leaf_hash(entry));
  }
  return out;
}

TEST(Merkle, KnownAnswersOfRfc6962) {
  EXPECT_EQ(to_hex(empty_root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_hex(leaf_hash(as_bytes("L123456"))),
            "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56");
  const char* inputs[8] = {"",
                           "00",
                           "10",
                           "2021",
                           "3031",
                           "40414243",
                           "5051525354555657",
                           "606162636465666768696a6b6c6d6e6f"};
  const char* roots[8] = {"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                          "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                          "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                          "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                          "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                          "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                          "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                          "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  CompactTree tree;
  EXPECT_EQ(tree.root(), empty_root());
  for (std::size_t i = 0; i < 8; ++i) {
    tree.append(leaf_hash(*from_hex(inputs[i])));
    EXPECT_EQ(to_hex(tree.root()), roots[i]) << i + 1 << " leaves";
  }
}

TEST(Merkle, GrowingRootEqualsTheReference) {
  const std::vector<Hash> leaves = numbered_leaves(300);
  CompactTree tree;
  for (std::size_t size = 0; size <= leaves.size(); ++size) {
    ASSERT_EQ(tree.root(), reference_root(std::span(leaves).first(size))) << size;
    ASSERT_EQ(tree.size(), size);
    if (size < leaves.size()) tree.append(leaves[size]);
  }
}

TEST(Merkle, EveryInclusionPathVerifiesAndNoOther) {
  const std::vector<Hash> all = numbered_leaves(40);
  for (std::uint64_t size = 1; size <= all.size(); ++size) {
    const auto leaves = std::span(all).first(size);
    const Hash root = root_of(leaves);
    for (std::uint64_t i = 0; i < size; ++i) {
      std::vector<Hash> path = inclusion_path(leaves, LogIndex(i));
      ASSERT_TRUE(verify_inclusion(LogIndex(i), size, leaves[i], path, root).has_value());
      EXPECT_FALSE(verify_inclusion(LogIndex(i), size, all[(i + 1) % 40], path, root).has_value());
      // Another index takes another road, unless the tree looks the same from both (RFC 6962).
      if (i + 1 < size) {
        EXPECT_FALSE(verify_inclusion(LogIndex(i + 1), size, leaves[i], path, root).has_value());
      }
      path.push_back(root);
      EXPECT_FALSE(verify_inclusion(LogIndex(i), size, leaves[i], path, root).has_value());
    }
    EXPECT_FALSE(verify_inclusion(LogIndex(size), size, all[0], {}, root).has_value());
  }
}

TEST(Merkle, EveryConsistencyPathVerifiesAndNoOther) {
  const std::vector<Hash> all = numbered_leaves(40);
  for (std::uint64_t size = 1; size <= all.size(); ++size) {
    const Hash root = root_of(std::span(all).first(size));
    for (std::uint64_t old = 1; old <= size; ++old) {
      const Hash old_root = root_of(std::span(all).first(old));
      std::vector<Hash> path = consistency_path(std::span(all).first(size), old);
      ASSERT_TRUE(verify_consistency(old, size, old_root, root, path).has_value())
          << old << " to " << size;
      EXPECT_FALSE(verify_consistency(old, size, root_of(std::span(all).last(old)), root, path)
                       .has_value() &&
                   old < 40);
      path.push_back(root);
      EXPECT_FALSE(verify_consistency(old, size, old_root, root, path).has_value());
    }
  }
}

TEST(Merkle, ConsistencyFromNothingIsAnError) {
  const Hash root = root_of(numbered_leaves(3));
  EXPECT_EQ(verify_consistency(0, 3, empty_root(), root, {}).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_FALSE(verify_consistency(0, 0, empty_root(), empty_root(), {}).has_value());
}

// A2: dropping, reordering or inserting a leaf breaks consistency with an earlier root.
TEST(Merkle, ChangedHistoryIsNotConsistent) {
  const std::vector<Hash> leaves = numbered_leaves(20);
  const Hash old_root = root_of(std::span(leaves).first(13));
  const auto is_consistent = [&](const std::vector<Hash>& changed) {
    return verify_consistency(13, changed.size(), old_root, root_of(changed),
                              consistency_path(changed, 13))
        .has_value();
  };
  EXPECT_TRUE(is_consistent(leaves));
  std::vector<Hash> dropped = leaves;
  dropped.erase(dropped.begin() + 5);
  EXPECT_FALSE(is_consistent(dropped));
  std::vector<Hash> reordered = leaves;
  std::swap(reordered[3], reordered[4]);
  EXPECT_FALSE(is_consistent(reordered));
  std::vector<Hash> inserted = leaves;
  inserted.insert(inserted.begin() + 7, leaves[0]);
  EXPECT_FALSE(is_consistent(inserted));
}

std::vector<Hash> hashes(const nlohmann::json& list, bool& well_formed) {
  std::vector<Hash> out;
  if (list.is_null()) return out;
  for (const auto& text : list) {
    const auto bytes = from_base64(text.get<std::string>());
    const auto hash = bytes ? to_array<32>(*bytes) : std::nullopt;
    well_formed = well_formed && hash.has_value();
    out.push_back(hash.value_or(Hash{}));
  }
  return out;
}

Hash hash_of(const nlohmann::json& text, bool& well_formed) {
  return hashes(nlohmann::json::array({text.is_null() ? nlohmann::json("") : text}), well_formed)
      .front();
}

TEST(Merkle, PublicInclusionVectors) {
  const auto folder = test::shared_vectors("merkle");
  if (!folder) GTEST_SKIP() << "no public vectors: set COSHARD_SHARED_DIR";
  int seen = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(*folder / "inclusion")) {
    if (file.path().extension() != ".json") continue;
    const auto test = test::read_json(file.path());
    bool ok = true;
    const std::vector<Hash> path = hashes(test["proof"], ok);
    const Hash root = hash_of(test["root"], ok);
    const Hash leaf = hash_of(test["leafHash"], ok);
    ok = ok && verify_inclusion(LogIndex(test["leafIdx"].get<std::uint64_t>()),
                                test["treeSize"].get<std::uint64_t>(), leaf, path, root)
                   .has_value();
    EXPECT_EQ(ok, !test["wantErr"].get<bool>()) << file.path() << " " << test["desc"];
    ++seen;
  }
  EXPECT_EQ(seen, 98);
}

/// Some vectors write words such as "don't care 2" for a root. A hash of ours has 32 bytes, so a
/// word is stood for by its hash: equal words stay equal.
Hash root_or_word(const nlohmann::json& text) {
  const auto bytes = from_base64(text.is_null() ? "" : text.get<std::string>());
  if (!bytes) return Hash{};
  return to_array<32>(*bytes).value_or(leaf_hash(*bytes));
}

TEST(Merkle, PublicConsistencyVectors) {
  const auto folder = test::shared_vectors("merkle");
  if (!folder) GTEST_SKIP() << "no public vectors: set COSHARD_SHARED_DIR";
  int seen = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(*folder / "consistency")) {
    if (file.path().extension() != ".json") continue;
    const auto test = test::read_json(file.path());
    bool ok = true;
    const std::vector<Hash> path = hashes(test["proof"], ok);
    const Hash old_root = root_or_word(test["root1"]);
    const Hash new_root = root_or_word(test["root2"]);
    ok = ok && verify_consistency(test["size1"].get<std::uint64_t>(),
                                  test["size2"].get<std::uint64_t>(), old_root, new_root, path)
                   .has_value();
    EXPECT_EQ(ok, !test["wantErr"].get<bool>()) << file.path() << " " << test["desc"];
    ++seen;
  }
  EXPECT_EQ(seen, 98);
}

}  // namespace
}  // namespace coshard::ledger
