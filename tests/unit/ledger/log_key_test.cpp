// A log that changes its key: who trusted the old one may trust the new one, and a retired key is
// worth nothing.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "ledger/verify.h"
#include "tests/unit/ledger/small_round.h"

namespace coshard::ledger {
namespace {

struct LogKeyChange : testing::Test {
  MemoryFolder& files() { return static_cast<MemoryFolder&>(*round.folder); }
  NoteKey key_of(const crypto::KeyPair& key) const {
    return {round.params.origin, key.public_key()};
  }
  Result<Checkpoint> checkpoint_under(const crypto::KeyPair& key) {
    return open_checkpoint(as_text(files().files["checkpoint"]), key_of(key));
  }

  SmallRound round;
  crypto::KeyPair next = test_key(77);
};

TEST_F(LogKeyChange, BothKeysSignForAWhileAndThenTheNewOneAlone) {
  auto ledger = round.begin();
  ASSERT_OK(ledger);
  ASSERT_OK(ledger->publish());
  ASSERT_OK(ledger->rotate_log_key(next, 2));
  ASSERT_OK(ledger->publish());
  ASSERT_OK(checkpoint_under(round.log_key));
  ASSERT_OK(checkpoint_under(next));
  ASSERT_OK(verify_ledger(files()));
  ASSERT_OK(verify_ledger(files(), key_of(round.log_key)));  // handed over
  ASSERT_OK(verify_ledger(files(), key_of(next)));
  EXPECT_ERROR(verify_ledger(files(), key_of(test_key(5))), ErrorCode::kPermissionDenied);

  ASSERT_OK(round.run_epoch(*ledger, 0, 1, 10));
  ASSERT_OK(ledger->publish());
  EXPECT_ERROR(checkpoint_under(round.log_key), ErrorCode::kPermissionDenied);
  ASSERT_OK(checkpoint_under(next));
  ASSERT_OK(verify_ledger(files(), key_of(round.log_key)));  // the log itself says who signs now
}

TEST_F(LogKeyChange, GoesOnAfterARestartUnderEitherState) {
  {
    auto ledger = round.begin();
    ASSERT_OK(ledger);
    ASSERT_OK(ledger->publish());
    ASSERT_OK(ledger->rotate_log_key(next, 100));
    ASSERT_OK(ledger->commit());  // durable, and never published by this process
  }
  EXPECT_ERROR(round.open(), ErrorCode::kPermissionDenied);  // with the retired key
  auto ledger = RoundLedger::open(*round.store, *round.folder, round.operating, next, round.clock);
  ASSERT_OK(ledger);
  ledger->set_former_log_key(round.log_key);
  ASSERT_OK(ledger->publish());
  ASSERT_OK(checkpoint_under(round.log_key));
  ASSERT_OK(verify_ledger(files(), key_of(next)));
}

TEST_F(LogKeyChange, ACheckpointByTheRetiredKeyIsRefused) {
  auto ledger = round.begin();
  ASSERT_OK(ledger);
  ASSERT_OK(ledger->rotate_log_key(next, 0));
  ASSERT_OK(round.run_epoch(*ledger, 0, 1, 10));
  const auto published = ledger->publish();
  ASSERT_OK(published);
  // Whoever stole the retired key signs the log as it is, and names himself.
  const auto forged = sign_checkpoint(*published, round.log_key);
  ASSERT_OK(forged);
  files().files["checkpoint"] = to_bytes(as_bytes(*forged));
  EXPECT_ERROR(verify_ledger(files(), key_of(next)), ErrorCode::kPermissionDenied);
  const std::string vkey = key_of(round.log_key).vkey() + "\n";
  files().files["log.vkey"] = to_bytes(as_bytes(vkey));
  const auto refused = verify_ledger(files(), key_of(round.log_key));
  EXPECT_ERROR(refused, ErrorCode::kCorruption);
  EXPECT_NE(refused.error().message.find("retired"), std::string::npos) << refused.error().message;
}

TEST_F(LogKeyChange, NeedsBothKeysAndAFreshOne) {
  auto ledger = round.begin();
  ASSERT_OK(ledger);
  const NetworkId& network = ledger->accounts().network();
  const auto thief = test_key(99);
  EXPECT_ERROR(ledger->say(sign_log_key_rotate(thief, next, network, 0)),
               ErrorCode::kPermissionDenied);
  LogKeyRotate unwilling = sign_log_key_rotate(round.log_key, thief, network, 0);
  unwilling.key = next.public_key();
  EXPECT_ERROR(ledger->say(unwilling), ErrorCode::kPermissionDenied);
  EXPECT_ERROR(ledger->say(sign_log_key_rotate(round.log_key, round.log_key, network, 0)),
               ErrorCode::kPermissionDenied);
  EXPECT_ERROR(ledger->say(sign_log_key_rotate(round.log_key, round.operating, network, 0)),
               ErrorCode::kPermissionDenied);
  ASSERT_OK(ledger->rotate_log_key(next, 50));
  EXPECT_ERROR(ledger->rotate_log_key(thief, 50),
               ErrorCode::kFailedPrecondition);  // one change at a time
}

}  // namespace
}  // namespace coshard::ledger
