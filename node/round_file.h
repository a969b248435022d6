// The TOML file that describes a round (design 2.3), parsed and checked whole before anything
// opens. Every key is explained in deploy/rounds/tiny.toml; the first broken rule is reported as
// "FILE:LINE: KEY: expected …, found …". Value types and pure functions, any thread; only
// load_round() and validate_against_disk() touch files.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/error.h"
#include "protocol/base/ids.h"
#include "protocol/base/limits.h"
#include "protocol/base/tensor_blob.h"
#include "shard/plan/spec.h"

namespace coshard::node {

enum class Weights { kOpen, kProtected };
enum class Precision { kAuto, kF32, kBf16 };
enum class WorkOrder { k1f1b, kGpipe };
enum class LrDecay { kConstant, kCosine };

struct ModelSection {
  std::string name;       ///< names files, folders and the ledger: [a-z0-9][a-z0-9-]*, at most 64
  shard::ModelSpec spec;  ///< the preset with the keys that the file overrides
  std::vector<shard::StageSlice> slices;       ///< one per stage
  std::vector<std::int64_t> layers_per_stage;  ///< as demanded; empty when the file gave a count
  Weights weights = Weights::kOpen;

  std::uint32_t stages() const { return static_cast<std::uint32_t>(slices.size()); }
  bool operator==(const ModelSection&) const = default;
};

struct DataSection {
  std::string manifest;  ///< relative to the round file's folder, or absolute
  bool operator==(const DataSection&) const = default;
};

/// AdamW; defaults are those of design 2.3.
struct OptimizerSettings {
  double lr = 1e-3;
  double beta1 = 0.9, beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  double clip_norm = 1.0;    ///< of the whole model's averaged gradient
  std::uint64_t warmup = 0;  ///< steps over which the rate rises from 0 to `lr`
  LrDecay decay = LrDecay::kCosine;
  bool operator==(const OptimizerSettings&) const = default;
};

struct TrainingSection {
  std::uint64_t steps = 0;
  std::uint32_t microbatches = 0;          ///< of one step
  std::uint32_t microbatch_sequences = 0;  ///< sequences of one microbatch
  OptimizerSettings optimizer;
  Precision precision = Precision::kAuto;
  std::uint64_t seed = 1;
  WorkOrder order = WorkOrder::k1f1b;
  std::uint64_t checkpoint_epochs = 5;  ///< a checkpoint every that many ledger epochs
  bool recompute = false;               ///< keep a stage's inputs only, compute the rest again
  bool operator==(const TrainingSection&) const = default;
};

struct BoundarySection {
  BoundaryEncoding compression = BoundaryEncoding::kNone;
  bool operator==(const BoundarySection&) const = default;
};

/// Who receives a role's share, in basis points of that share.
struct Recipient {
  AccountId account;
  std::uint32_t basis_points = 0;
  bool operator==(const Recipient&) const = default;
};

struct OwnershipSection {
  std::uint64_t units = 1'000'000'000'000;  ///< the cap of this model, below 2^63
  /// Steps after which a step's emission has halved; nothing: the same for every step.
  std::optional<std::uint64_t> half_life_steps;
  /// Basis points of the emission by role, 10000 in all.
  std::uint32_t compute = 10'000, data = 0, design = 0, treasury = 0;
  /// Of a role with a share: basis points that sum to 10000. Of a role without: empty.
  std::vector<Recipient> data_recipients, design_recipients, treasury_recipients;
  std::string currency = "USD";      ///< of revenue and payouts; empty: the ledger books none
  std::uint64_t minimum_payout = 0;  ///< micro-units; of an account that still owns units
  /// By role (compute, data, design, treasury): epochs until posted units may be moved; 0: at once.
  std::array<std::uint64_t, 4> vesting_epochs{};
  std::uint64_t challenge_epochs = 0;  ///< to be closed after an epoch before its credit is posted
  std::uint64_t bond_epochs = 0;       ///< from a release until bonded units are free
  std::uint64_t recovery_days = 14;    ///< an owner has to object to a claim; 0: no recovery
  std::vector<NodeId> governors;       ///< ascending keys; may change parameters and grants
  std::uint64_t governors_needed = 0;  ///< of them; 0 exactly when there are none
  bool buyer_signs = false;            ///< every transfer of units, not only one with a price
  bool operator==(const OwnershipSection&) const = default;
};

struct AdmissionSection {
  bool open = true;
  std::vector<NodeId> allow;       ///< when not open: who may join, at least one
  std::uint32_t replicas = 1;      ///< the round starts once every stage has that many
  std::uint32_t replicas_max = 1;  ///< seats of each stage: who comes later joins the round
  bool operator==(const AdmissionSection&) const = default;
};

struct LedgerSection {
  std::string domain = "coshard.local";  ///< origin: <domain>/coshard/m/<model name>
  std::uint64_t epoch_steps = limits::kLedgerEpochSteps;
  bool operator==(const LedgerSection&) const = default;
};

struct BeginningShard {
  Hash sha256{};            ///< of the stage's checkpoint file
  std::uint64_t bytes = 0;  ///< that it has
  bool operator==(const BeginningShard&) const = default;
};

/// The checkpoint of another round from which this one goes on, cut into this one's stages
/// (coshard round export --format shards writes this section).
struct BeginningSection {
  NetworkId network;  ///< of the round that trained it; its ledger records the checkpoint
  StepId step;        ///< the last that was applied
  std::vector<BeginningShard> shards;  ///< one per stage
  bool operator==(const BeginningSection&) const = default;
};

struct RoundFile {
  ModelSection model;
  DataSection data;
  TrainingSection training;
  BoundarySection boundary;
  OwnershipSection ownership;
  AdmissionSection admission;
  LedgerSection ledger;
  std::optional<BeginningSection> beginning;  ///< nothing: initial weights, step 1

  /// Target tokens of one optimizer step.
  std::uint64_t tokens_per_step() const {
    return std::uint64_t{training.microbatches} * training.microbatch_sequences *
           static_cast<std::uint64_t>(model.spec.sequence);
  }
  bool operator==(const RoundFile&) const = default;
};

/// Parses and checks everything that can be known without touching the disk. `file_name` is for
/// messages only. kInvalidArgument for the first rule that is broken, in one line.
Result<RoundFile> parse_round(std::string_view text, std::string_view file_name);

/// The round as TOML with every key written out; parse_round() gives the same RoundFile back.
std::string to_toml(const RoundFile& round);

/// A round file as it was found.
struct LoadedRound {
  RoundFile round;
  std::string text;              ///< what Welcome carries to the nodes
  std::filesystem::path folder;  ///< what relative paths inside refer to
};

/// Reads and parses. kNotFound, kResourceExhausted over limits::kRoundFileBytesMax, else as above.
Result<LoadedRound> load_round(const std::filesystem::path& file);

/// `round.data.manifest`, made absolute with the round file's folder.
std::filesystem::path manifest_path(const RoundFile& round, const std::filesystem::path& folder);

/// Opens the manifest and every shard that it names, checks hashes and that the vocabulary fits the
/// model. The errors of shard::TokenSource::open, with the key that named the file.
Result<void> validate_against_disk(const RoundFile& round, const std::filesystem::path& folder);

}  // namespace coshard::node
