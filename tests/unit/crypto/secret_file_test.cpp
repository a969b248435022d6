// Key files, and what an attacker may do to them (reference ledger.md B11).
// SPDX-License-Identifier: Apache-2.0
#include "crypto/secret_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "crypto/random.h"
#include "protocol/base/limits.h"

namespace coshard::crypto {
namespace {

namespace fs = std::filesystem;

class SecretFile : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(::testing::TempDir()) / ("coshard-keys-" + to_hex(random_array<6>()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write_raw(const Bytes& bytes) const {
    const fs::path path = folder_ / "raw";
    std::ofstream(path, std::ios::binary) << as_text(bytes);
    ::chmod(path.c_str(), 0600);
    return path;
  }

  fs::path folder_;
};

TEST_F(SecretFile, ComesBackUnderItsPassphrase) {
  const Identity identity = Identity::generate();
  const fs::path path = folder_ / "deep" / "node.key";
  ASSERT_TRUE(save_identity(path, identity, "correct horse", KdfCost::cheap()).has_value());
  struct stat status {};
  ::stat(path.c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(load_identity(path, "correct horse")->certificate(), identity.certificate());
  EXPECT_TRUE(*needs_passphrase(path));
  EXPECT_EQ(load_identity(path, "wrong horse").error().code, ErrorCode::kPermissionDenied);
  EXPECT_EQ(load_identity(path, std::nullopt).error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_ / "deep"), fs::directory_iterator()), 1);
}

TEST_F(SecretFile, WithoutPassphraseSaysSo) {
  const Identity identity = Identity::generate();
  const fs::path path = folder_ / "open.key";
  ASSERT_TRUE(save_identity(path, identity, std::nullopt).has_value());
  EXPECT_FALSE(*needs_passphrase(path));
  EXPECT_EQ(load_identity(path, std::nullopt)->node(), identity.node());
  EXPECT_EQ(load_identity(path, "not asked for")->node(), identity.node());
  EXPECT_FALSE(seal_secret(Bytes(4), "").has_value());
}

TEST_F(SecretFile, SecretIsNotInTheFile) {
  const Bytes secret = random_bytes(64);
  const auto file = seal_secret(secret, "pass", KdfCost::cheap());
  EXPECT_EQ(std::search(file->begin(), file->end(), secret.begin(), secret.begin() + 8),
            file->end());
  EXPECT_NE(*seal_secret(secret, "pass", KdfCost::cheap()), *file) << "salt and nonce are fresh";
}

TEST_F(SecretFile, NeverOverwrites) {
  const fs::path path = folder_ / "node.key";
  ASSERT_TRUE(write_secret_file(path, as_bytes("first"), std::nullopt).has_value());
  const auto second = write_secret_file(path, as_bytes("second"), std::nullopt);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(as_text(read_secret_file(path, std::nullopt)->view()), "first");
  fs::create_symlink("nowhere", folder_ / "link");
  EXPECT_FALSE(write_secret_file(folder_ / "link", as_bytes("x"), std::nullopt).has_value());
}

TEST_F(SecretFile, B11_ReadableByOthersIsRefusedWithTheCommandThatHelps) {
  const fs::path path = folder_ / "node.key";
  ASSERT_TRUE(write_secret_file(path, as_bytes("s"), std::nullopt).has_value());
  for (const unsigned mode : {0640u, 0604u, 0660u, 0666u}) {
    ::chmod(path.c_str(), mode);
    const auto read = read_secret_file(path, std::nullopt);
    ASSERT_FALSE(read.has_value());
    EXPECT_EQ(read.error().code, ErrorCode::kPermissionDenied);
    EXPECT_NE(read.error().message.find("chmod 600"), std::string::npos);
  }
}

TEST_F(SecretFile, B11_EveryTruncationAndEveryFlippedByteIsACleanError) {
  const Bytes file =
      *seal_secret(as_bytes("thirty-two bytes of secret key!!"), "p", KdfCost::cheap());
  for (std::size_t length = 0; length < file.size(); ++length) {
    EXPECT_FALSE(open_secret(ByteView(file).first(length), "p").has_value()) << length;
  }
  for (std::size_t i = 0; i < file.size(); ++i) {
    Bytes changed = file;
    changed[i] ^= 1;
    EXPECT_FALSE(open_secret(changed, "p").has_value()) << "byte " << i;
  }
  Bytes longer = file;
  longer.push_back(0);
  EXPECT_FALSE(open_secret(longer, "p").has_value());
  EXPECT_TRUE(open_secret(file, "p").has_value());
}

TEST_F(SecretFile, B11_ForgedCostsAreRefusedBeforeAnythingIsAllocated) {
  Bytes file = *seal_secret(as_bytes("s"), "p", KdfCost::cheap());
  const auto with_cost = [&](std::uint64_t passes, std::uint64_t memory) {
    Bytes cost;
    put_be(cost, passes);
    put_be(cost, memory);
    Bytes out = file;
    std::copy(cost.begin(), cost.end(), out.begin() + 10);
    return open_secret(out, "p").error().code;
  };
  EXPECT_EQ(with_cost(1, std::uint64_t{1} << 40), ErrorCode::kResourceExhausted);
  EXPECT_EQ(with_cost(1, limits::kKeyFileMemoryMax + 1), ErrorCode::kResourceExhausted);
  EXPECT_EQ(with_cost(limits::kKeyFileOpsMax + 1, 8192), ErrorCode::kResourceExhausted);
  EXPECT_EQ(with_cost(0, 0), ErrorCode::kCorruption);
  EXPECT_EQ(seal_secret(Bytes(1), "p", {1, std::uint64_t{1} << 40}).error().code,
            ErrorCode::kResourceExhausted);
}

TEST_F(SecretFile, MissingForeignAndHugeFilesAreNamed) {
  const fs::path missing = folder_ / "missing.key";
  const auto none = read_secret_file(missing, std::nullopt);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  EXPECT_NE(none.error().message.find(missing.string()), std::string::npos);
  EXPECT_EQ(read_secret_file(write_raw(random_bytes(300)), std::nullopt).error().code,
            ErrorCode::kCorruption);
  EXPECT_EQ(read_secret_file(write_raw(Bytes(100'000)), std::nullopt).error().code,
            ErrorCode::kCorruption);
  EXPECT_FALSE(read_secret_file(folder_, std::nullopt).has_value()) << "a folder is no key file";
}

}  // namespace
}  // namespace coshard::crypto
