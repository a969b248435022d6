// See shard_keeper.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/shard_keeper.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "crypto/hash.h"
#include "crypto/seal_stream.h"
#include "node/checkpoint_path.h"
#include "node/daemon/checkpoint_folder.h"
#include "protocol/base/log.h"
#include "shard/data/file.h"

namespace coshard::node {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kFilesAtOnce = 4;

/// The file from its beginning to its end.
crypto::StreamSource stream_of(const shard::ReadFile& file) {
  return
      [&file, at = std::uint64_t{0}](std::span<std::uint8_t> out) mutable -> Result<std::size_t> {
        const auto size =
            static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), file.size() - at));
        COSHARD_TRY(file.read_at(at, out.first(size)));
        at += size;
        return size;
      };
}

/// Deletes the sealed shards of a stage up to `step` but the newest `kept`.
void drop_old_sealed(const fs::path& checkpoints, StepId step, StageIndex stage, std::size_t kept) {
  drop_old(checkpoints, step, sealed_path("", step, stage).filename().string(), kept);
}

Result<ShardSealed> seal(const fs::path& checkpoints, const SealOrder& order) {
  COSHARD_ASSIGN(const shard::ReadFile plain,
                 shard::ReadFile::open(checkpoint_path(checkpoints, order.step, order.stage),
                                       shard::Symlinks::kRefuse));
  COSHARD_ASSIGN(auto sealed,
                 shard::AtomicFile::create(sealed_path(checkpoints, order.step, order.stage)));
  COSHARD_TRY(crypto::seal_stream(order.key, stream_of(plain),
                                  [&](ByteView bytes) { return sealed.write(bytes); }));
  const std::uint64_t bytes = sealed.size();
  COSHARD_ASSIGN(const Hash hash, sealed.publish());
  return ShardSealed{{order.step, order.stage, hash, bytes}, ""};
}

}  // namespace

fs::path sealed_path(const fs::path& checkpoints, StepId step, StageIndex stage) {
  return checkpoint_path(checkpoints, step, stage).replace_extension(".sealed");
}

ShardSealed seal_shard(const fs::path& checkpoints, const SealOrder& order) {
  const auto sealed = seal(checkpoints, order);
  if (!sealed) return {{order.step, order.stage, {}, 0}, sealed.error().message};
  drop_old_sealed(checkpoints, order.step, order.stage, 1);
  return *sealed;
}

Result<void> open_shard(const fs::path& checkpoints, const ShardReturn& shard) {
  const auto& [step, stage, file_hash, bytes] = shard.sealed;
  const fs::path path = sealed_path(checkpoints, step, stage);
  COSHARD_ASSIGN(const shard::ReadFile sealed,
                 shard::ReadFile::open(path, shard::Symlinks::kRefuse));
  COSHARD_ASSIGN(auto plain, shard::AtomicFile::create(checkpoint_path(checkpoints, step, stage)));
  crypto::Sha256 hash;
  COSHARD_TRY(crypto::open_stream(shard.key, stream_of(sealed), [&](ByteView piece) {
    hash.update(piece);
    return plain.write(piece);
  }));
  if (const Hash found = hash.finish(); found != shard.opened_hash)
    return fail(ErrorCode::kCorruption, path.string() + ": expected the state that was recorded (" +
                                            to_hex(shard.opened_hash) + ") in it, found " +
                                            to_hex(found));
  COSHARD_ASSIGN([[maybe_unused]] const Hash published, plain.publish());
  std::error_code ignored;
  fs::remove(path, ignored);
  return {};
}

ShardKeeper::ShardKeeper(fs::path checkpoints, const Clock& clock, StateClientPorts ports)
    : checkpoints_(std::move(checkpoints)),
      ports_(std::move(ports)),
      copy_(
          [this](StepId step, StageIndex stage) { return sealed_path(checkpoints_, step, stage); },
          clock, copy_ports()),
      bulk_("cs-seal", kFilesAtOnce, ports_.run_later) {}

/// As this object's own, but for what the copy comes to.
StateClientPorts ShardKeeper::copy_ports() {
  StateClientPorts ports = ports_;
  ports.post = [this](const round::ParticipantEvent& event) {
    if (const auto* fetched = std::get_if<round::StateFetched>(&event))
      return copied(fetched->error);
    if (returning_) ports_.post(event);
  };
  return ports;
}

void ShardKeeper::run(const round::SealShard& action) {
  bulk_.start();
  const bool taken = bulk_.submit([this, order = action.order]() -> BulkThread::Reply {
    return [this, sealed = seal_shard(checkpoints_, order)] {
      ports_.post(round::ShardHandled{sealed});
    };
  });
  if (!taken)
    ports_.post(round::ShardHandled{
        {{action.order.step, action.order.stage, {}, 0}, "too many files are being sealed"}});
}

void ShardKeeper::run(const round::KeepShard& action) {
  wanted_.push_back(action.order);
  if (wanted_.size() == 1) copy_next();
}

void ShardKeeper::run(const round::RestoreShard& action) {
  returning_ = action.shard;
  wanted_.assign(1, {action.shard.sealed, action.shard.keeper});
  copy_next();
}

void ShardKeeper::copy_next() {
  const KeepOrder& order = wanted_.front();
  copy_.fetch({order.sealed, {order.holder}});
}

void ShardKeeper::copied(const std::string& error) {
  const ShardFile file = wanted_.front().sealed;
  wanted_.pop_front();
  if (const auto shard = std::exchange(returning_, std::nullopt))
    return error.empty() ? open_copy(*shard) : ports_.post(round::StateFetched{file.step, error});
  if (error.empty()) {
    // The one before as well: this one's checkpoint is not complete.
    drop_old_sealed(checkpoints_, file.step, file.stage, 2);
    log(LogLevel::kInfo, "node",
        "keeps the sealed shard of stage " + std::to_string(file.stage.value) + " after step " +
            std::to_string(file.step.value));
  }
  if (!wanted_.empty()) copy_next();
  ports_.post(round::ShardHandled{{file, error}});
}

void ShardKeeper::open_copy(const ShardReturn& shard) {
  bulk_.start();
  const bool taken = bulk_.submit([this, shard]() -> BulkThread::Reply {
    const auto opened = open_shard(checkpoints_, shard);
    return [this, step = shard.sealed.step, error = opened ? "" : opened.error().message] {
      ports_.post(round::StateFetched{step, error});
    };
  });
  if (!taken) ports_.post(round::StateFetched{shard.sealed.step, "the disk is busy"});
}

bool ShardKeeper::is_wanted(StepId step, StageIndex stage) const {
  if (wanted_.empty()) return false;
  const ShardFile& file = wanted_.front().sealed;
  return file.step == step && file.stage == stage;
}

bool ShardKeeper::on_piece(const NodeId& from, const StatePiece& piece, const SharedBytes& bytes) {
  if (!is_wanted(piece.step, piece.stage)) return false;
  copy_.on_piece(from, piece, bytes);
  return true;
}

bool ShardKeeper::on_refused(const NodeId& from, const StateRefused& refusal) {
  if (!is_wanted(refusal.step, refusal.stage)) return false;
  copy_.on_refused(from, refusal);
  return true;
}

}  // namespace coshard::node
