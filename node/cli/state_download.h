// Copies a stage's saved state from the nodes that hold it, over the same encrypted, signed wire on
// which they train, and believes nothing but the hash in the ledger. A copy that was broken off
// goes on where its file ends. What to ask of whom, and when to give up: protocol/round/state_copy.
// Home thread: main, which is cs-net for the time of a fetch.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/courier.h"
#include "node/part_file.h"
#include "protocol/round/state_copy.h"
#include "protocol/transport/reactor.h"

namespace coshard::cli {

/// A state that is to be copied, and who has it.
struct StateSource {
  StepId step;
  StageIndex stage;
  Hash sha256{};                ///< as the ledger recorded it
  std::uint64_t bytes_max = 0;  ///< of a checkpoint of that stage
  std::vector<transport::PeerAddress> holders;
};

class StateDownload {
 public:
  /// Asks the coordinator to name `certificate` a reader, or to go on doing so.
  using Renew = std::function<Result<void>(const crypto::NodeCertificate&)>;

  /// Under an identity of its own, which ends with this object. `renew` is called at once and then
  /// several times within each lease; its error ends the fetch only where it comes first.
  static Result<std::unique_ptr<StateDownload>> open(NetworkId network, Renew renew);

  /// Leaves the state in `file`, whose hash is the source's; `file`.part is what has come so far.
  /// kNotFound: no holder has this step any more. kDeadlineExceeded: nothing came for a while; the
  /// message says from whom it was expected. kCorruption: what came is not what the ledger
  /// recorded.
  Result<void> fetch(const StateSource& source, const std::filesystem::path& file);

 private:
  StateDownload(NetworkId network, Renew renew);
  Result<void> try_once(const StateSource& source, const std::filesystem::path& file);
  Result<void> run_until_whole();
  void on_message(const NodeId& from, wire::Opened opened);
  void on_piece(const NodeId& from, const StatePiece& piece, const SharedBytes& bytes);
  void on_link(const transport::PeerEvent& event);
  void on_lost(const NodeId& peer, const std::string& reason);
  void admit(const transport::PeerAddress& holder);
  void turn();
  void heartbeat();

  const NetworkId network_;
  const Renew renew_;
  SystemClock clock_;
  crypto::Identity identity_ = crypto::Identity::generate();
  transport::Reactor reactor_{clock_};
  std::unique_ptr<transport::Transport> transport_;
  std::optional<node::Courier> courier_;
  std::map<NodeId, transport::PeerAddress> holders_;
  std::optional<round::StateCopy> copy_;
  std::optional<node::PartFile> part_;  ///< while a try is under way
  Result<void> written_;                ///< the first write that failed
  std::string trouble_;                 ///< what went wrong last on the way to a holder
};

}  // namespace coshard::cli
