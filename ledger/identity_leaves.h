// Ledger entries about keys: who may speak for a node, a witness, an account. Value types, any
// thread. Rules: accounts_identity.cpp.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "ledger/leaf_type.h"

namespace coshard::ledger {

/// A node enters: from this index on its operating key may author entries.
struct IdentityRegister {
  static constexpr LeafType kType = LeafType::kIdentityRegister;
  Bytes certificate;  ///< crypto::NodeCertificate
  bool operator==(const IdentityRegister&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.certificate);
  }
};

/// The root says that an operating key is not to be believed from this index on.
struct IdentityRevoke {
  static constexpr LeafType kType = LeafType::kIdentityRevoke;
  NodeId node;
  crypto::Signature root_signature{};  ///< over the node id, domain "revocation"
  bool operator==(const IdentityRevoke&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.node);
    codec(2, self.root_signature);
  }
};

/// A node's operating key is replaced by another of the same account, in one entry: the old one is
/// not believed from this index on, the new one is.
struct KeyRotate {
  static constexpr LeafType kType = LeafType::kKeyRotate;
  NodeId node;                         ///< the old one
  crypto::Signature root_signature{};  ///< over the old node's id, domain "revocation"
  Bytes certificate;                   ///< crypto::NodeCertificate of the new one
  bool operator==(const KeyRotate&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.node);
    codec(2, self.root_signature);
    codec(3, self.certificate);
  }
};

/// The owner of a root key runs a witness under this name and key. IdentityRevoke takes it back.
struct WitnessRegister {
  static constexpr LeafType kType = LeafType::kWitnessRegister;
  Bytes certificate;  ///< crypto::WitnessCertificate
  bool operator==(const WitnessRegister&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.certificate);
  }
};

/// Checkpoints of more entries than this one's index are signed by another log key; up to `until`
/// entries by the old one as well, so that readers and witnesses can change over. Both keys sign
/// the change (log_key_payload(), domain "log-key"): who trusts the old one may trust the new one.
struct LogKeyRotate {
  static constexpr LeafType kType = LeafType::kLogKeyRotate;
  crypto::PublicKey key{};
  std::uint64_t until = 0;
  crypto::Signature old_signature{};
  crypto::Signature new_signature{};
  bool operator==(const LogKeyRotate&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.key);
    codec(2, self.until);
    codec(3, self.old_signature);
    codec(4, self.new_signature);
  }
};

/// An owner names the key that may claim his account if he loses his root. Again: another key, or
/// none; either ends a claim that is under way.
struct RecoveryName {
  static constexpr LeafType kType = LeafType::kRecoveryName;
  crypto::PublicKey key{};  ///< zero: none
  bool operator==(const RecoveryName&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.key);
  }
};

/// The recovery key claims the account for a new root. The owner may object (RecoveryName) until
/// the genesis's recovery_days have passed by the log's own times.
struct RecoveryClaim {
  static constexpr LeafType kType = LeafType::kRecoveryClaim;
  AccountId account;
  crypto::PublicKey root{};            ///< the new root: nobody's yet in this log
  crypto::Signature root_signature{};  ///< the new root's own, over the account, domain "recovery"
  bool operator==(const RecoveryClaim&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.account);
    codec(2, self.root);
    codec(3, self.root_signature);
  }
};

/// Said by the new root when the time to object is over: from here on it speaks for the account,
/// and the old root does not.
struct RecoveryFinish {
  static constexpr LeafType kType = LeafType::kRecoveryFinish;
  AccountId account;
  bool operator==(const RecoveryFinish&) const = default;
  template <class Codec, class Self>
  static void fields(Codec& codec, Self& self) {
    codec(1, self.account);
  }
};

}  // namespace coshard::ledger
