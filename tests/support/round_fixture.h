// A whole round in one temporary folder: its data and round file, and, on loopback, the real
// programs that run it. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "node/round_file.h"
#include "tests/support/process.h"

namespace coshard::test {

/// A model small enough that a step takes milliseconds.
struct TinyRound {
  std::uint32_t stages = 2;
  std::uint32_t replicas = 1;
  std::uint64_t steps = 6;
  std::uint32_t microbatches = 4;
  std::uint64_t epoch_steps = 3;
  std::uint64_t checkpoint_epochs = 1;
  int layers = 2;
  std::string order = "1f1b";
  std::string weights = "open";
  std::uint32_t replicas_max = 0;  ///< 0: no seats beyond `replicas`
  std::string cut = "";            ///< layers of each of `stages`, "[1, 3]"; empty: even parts
  std::string name = "mite";
};
std::string round_text(const TinyRound& round);

struct MetricsLine {
  std::uint64_t step = 0;
  double loss = 0;
  double grad_norm = 0;
  std::uint64_t tokens = 0;
  bool operator==(const MetricsLine&) const = default;
};

/// The folder of the programs under test: where the build puts them.
Path program(const std::string& name);

/// Tokens, manifest, round.toml, and a folder for each program.
class RoundFolder {
 public:
  explicit RoundFolder(const TinyRound& round);

  /// Another round file instead, as it is.
  void use_round_file(const Path& file);

  const Path& path() const { return dir_.path(); }
  Path coordinator_dir() const { return dir_ / "coordinator"; }
  Path node_dir(std::size_t index) const { return dir_ / ("node-" + std::to_string(index)); }
  const node::RoundFile& round() const { return round_; }
  std::size_t seats() const {
    return std::size_t{round_.model.stages()} * round_.admission.replicas;
  }
  Path manifest() const { return dir_ / "data/manifest.json"; }

  /// All committed steps so far, in order; a step done again after a resume comes again.
  std::vector<MetricsLine> metrics() const;
  /// The last word on each step: one that was done again counts once.
  std::vector<MetricsLine> last_metrics() const;
  /// Of all nodes.
  std::vector<Path> checkpoint_folders() const;

 private:
  void write_data();
  TempDir dir_;
  node::RoundFile round_;
};

/// What one program is started with beside what all are.
struct Handicap {
  std::vector<std::string> flags{};
  std::vector<std::pair<std::string, std::string>> environment{};
  std::optional<std::uint64_t> file_bytes{};  ///< no file grows beyond: a full disk
  std::string invitation{};                   ///< of a node: another than the coordinator wrote
  std::string program = "coshard-node";       ///< of a node
};

class RoundFixture : public RoundFolder {
 public:
  using RoundFolder::RoundFolder;

  /// Starts the coordinator and waits until it listens; false (with its output printed) otherwise.
  bool start_coordinator(const Handicap& handicap = {});
  /// Starts node `index`; the same index again is the same identity again.
  ChildProcess& start_node(std::size_t index, const Handicap& handicap = {});
  /// Starts all nodes of the round. Those with a handicap come first, one after the other and in
  /// order, so that node 0 holds stage 0, node 1 stage 1, and so on.
  bool start_nodes(const std::map<std::size_t, Handicap>& handicaps = {});
  /// Starts coordinator and stages x replicas nodes.
  bool start_all();

  ChildProcess& coordinator() { return *coordinator_; }
  ChildProcess& node(std::size_t index) { return *nodes_.at(index); }
  std::size_t node_count() const { return nodes_.size(); }

  bool wait_for_step(std::uint64_t step, std::chrono::milliseconds limit);
  /// What the coordinator wrote about itself.
  std::string coordinator_field(const std::string& name) const;
  /// A value of node `index`'s status.json; empty when there is none yet.
  std::string node_status(std::size_t index, const std::string& name) const;
  /// Everything that the programs said, for a failing test.
  std::string outputs() const;

 private:
  std::unique_ptr<ChildProcess> coordinator_;
  std::map<std::size_t, std::unique_ptr<ChildProcess>> nodes_;
};

}  // namespace coshard::test
