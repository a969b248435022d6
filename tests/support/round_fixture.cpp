// Files and processes of a round.
// SPDX-License-Identifier: Apache-2.0
#include "tests/support/round_fixture.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "crypto/hash.h"
#include "protocol/base/check.h"
#include "protocol/base/rng.h"
#include "shard/data/manifest.h"

namespace coshard::test {

using nlohmann::json;

namespace {

constexpr int kVocab = 64;

/// Tokens that a model can learn: each mostly follows from the one before.
Bytes learnable_tokens(std::size_t count) {
  Bytes bytes;
  std::uint32_t token = 1;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t chance = philox(7, i, 0)[0];
    token = chance % 8 == 0 ? chance / 8 % kVocab : (token * 5 + 3) % kVocab;
    put_le(bytes, static_cast<std::uint16_t>(token));
  }
  return bytes;
}

/// Null is written where there is none.
double number(const json& value) {
  return value.is_null() ? std::numeric_limits<double>::quiet_NaN() : value.get<double>();
}

}  // namespace

std::string round_text(const TinyRound& round) {
  std::ostringstream text;
  text << "[model]\nname = \"" << round.name << "\"\nhidden = 32\nlayers = " << round.layers
       << "\nheads = 2\nkv_heads = 2\nffn_hidden = 64\nvocab = " << kVocab
       << "\nsequence = 16\nstages = "
       << (round.cut.empty() ? std::to_string(round.stages) : round.cut) << "\nweights = \""
       << round.weights << "\"\n"
       << "[data]\nmanifest = \"data/manifest.json\"\n"
       << "[training]\nsteps = " << round.steps << "\nmicrobatches = " << round.microbatches
       << "\nmicrobatch_sequences = 2\nprecision = \"fp32\"\nseed = 3\nschedule_order = \""
       << round.order << "\"\ncheckpoint_epochs = " << round.checkpoint_epochs
       << "\noptimizer = { name = \"adamw\", lr = 1e-2, betas = [0.9, 0.95], eps = 1e-8, "
          "weight_decay = 0.1, clip_norm = 1.0, warmup = 2, schedule = \"cosine\" }\n"
       << "[boundary]\ncompression = \"none\"\n"
       << "[ownership]\nunits = 1_000_000_000_000\nemission = \"constant\"\n"
       << "split = { compute = 10000, data = 0, design = 0, treasury = 0 }\n"
       << "[admission]\nmode = \"open\"\nreplicas = " << round.replicas
       << "\nreplicas_max = " << std::max(round.replicas, round.replicas_max) << "\n"
       << "[ledger]\ndomain = \"coshard.local\"\nepoch_steps = " << round.epoch_steps << "\n";
  return text.str();
}

Path program(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

RoundFolder::RoundFolder(const TinyRound& round) {
  write_data();
  write_text(dir_ / "round.toml", round_text(round));
  use_round_file(dir_ / "round.toml");
  std::filesystem::create_directories(coordinator_dir());
}

void RoundFolder::use_round_file(const Path& file) {
  const std::string text = read_text(file);
  auto parsed = node::parse_round(text, "round.toml");
  COSHARD_CHECK_OP(parsed.has_value() ? "" : parsed.error().message, ==, "");
  round_ = *parsed;
  write_text(dir_ / "round.toml", text);
}

void RoundFolder::write_data() {
  std::filesystem::create_directories(dir_ / "data");
  shard::Manifest contents;
  contents.tokenizer.id = "bytes";
  contents.tokenizer.sha256 = crypto::sha256(as_bytes("bytes"));
  contents.vocab = kVocab;
  for (const char* name : {"first.bin", "second.bin"}) {
    const Bytes tokens = learnable_tokens(name[0] == 'f' ? 1600 : 900);
    write_text(dir_.path() / "data" / name, std::string(as_text(tokens)));
    contents.shards.push_back({name, tokens.size() / 2, crypto::sha256(tokens)});
  }
  write_text(manifest(), shard::manifest_text(contents));
}

std::vector<MetricsLine> RoundFolder::metrics() const {
  std::vector<MetricsLine> lines;
  std::istringstream text(read_text(coordinator_dir() / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    const json parsed = json::parse(line, nullptr, false);
    if (parsed.is_discarded()) break;  // the last line is being written
    lines.push_back(
        {parsed["step"], number(parsed["loss"]), number(parsed["grad_norm"]), parsed["tokens"]});
  }
  return lines;
}

std::vector<MetricsLine> RoundFolder::last_metrics() const {
  std::map<std::uint64_t, MetricsLine> by_step;
  for (const MetricsLine& line : metrics()) by_step[line.step] = line;
  std::vector<MetricsLine> lines;
  for (const auto& [step, line] : by_step) lines.push_back(line);
  return lines;
}

std::vector<Path> RoundFolder::checkpoint_folders() const {
  std::vector<Path> folders;
  for (std::size_t i = 0; i < seats(); ++i) folders.push_back(node_dir(i) / "checkpoints");
  return folders;
}

bool RoundFixture::start_coordinator(const Handicap& handicap) {
  const Path description = coordinator_dir() / "coordinator.json";
  std::filesystem::remove(description);
  FolderWatch watch({coordinator_dir(), path()});
  std::vector<std::string> arguments{"--round", (path() / "round.toml").string(), "--dir",
                                     coordinator_dir().string()};
  arguments.insert(arguments.end(), handicap.flags.begin(), handicap.flags.end());
  coordinator_ = std::make_unique<ChildProcess>(Spawn{program("coshard-coordinator"), arguments,
                                                      path() / "coordinator.out",
                                                      handicap.file_bytes, handicap.environment});
  const bool listening = watch.wait_until(
      [&] { return std::filesystem::exists(description) || !coordinator_->running(); },
      std::chrono::seconds(60));
  if (listening && coordinator_->running()) return true;
  std::fprintf(stderr, "%s", outputs().c_str());
  return false;
}

ChildProcess& RoundFixture::start_node(std::size_t index, const Handicap& handicap) {
  std::filesystem::create_directories(node_dir(index));
  const std::string own = (coordinator_dir() / "invitation").string();
  std::vector<std::string> arguments{
      "--join",    handicap.invitation.empty() ? own : handicap.invitation,
      "--dir",     node_dir(index).string(),
      "--data",    (path() / "data").string(),
      "--device",  "cpu",
      "--threads", "1",
      "--tflops",  "0.01"};  // equal, so that seats go by the order of coming alone
  arguments.insert(arguments.end(), handicap.flags.begin(), handicap.flags.end());
  nodes_[index] = std::make_unique<ChildProcess>(Spawn{
      program(handicap.program), arguments, path() / ("node-" + std::to_string(index) + ".out"),
      handicap.file_bytes, handicap.environment});
  return *nodes_[index];
}

bool RoundFixture::start_nodes(const std::map<std::size_t, Handicap>& handicaps) {
  std::size_t next = 0;
  for (; !handicaps.empty() && next <= handicaps.rbegin()->first; ++next) {
    const auto own = handicaps.find(next);
    start_node(next, own == handicaps.end() ? Handicap{} : own->second);
    if (!wait_for_text(node(next).output_file(), "admitted to", std::chrono::seconds(60)))
      return false;
  }
  for (; next < seats(); ++next) start_node(next);
  return true;
}

bool RoundFixture::start_all() { return start_coordinator() && start_nodes(); }

bool RoundFixture::wait_for_step(std::uint64_t step, std::chrono::milliseconds limit) {
  FolderWatch watch({coordinator_dir(), path()});
  return watch.wait_until(
      [&] {
        const auto lines = metrics();
        return (!lines.empty() && lines.back().step >= step) || !coordinator_->running();
      },
      limit);
}

std::string RoundFixture::coordinator_field(const std::string& name) const {
  const json parsed = json::parse(read_text(coordinator_dir() / "coordinator.json"));
  return parsed.at(name).is_string() ? parsed.at(name).get<std::string>() : parsed.at(name).dump();
}

std::string RoundFixture::node_status(std::size_t index, const std::string& name) const {
  const json parsed = json::parse(read_text(node_dir(index) / "status.json"), nullptr, false);
  if (parsed.is_discarded() || !parsed.contains(name)) return "";
  return parsed[name].is_string() ? parsed[name].get<std::string>() : parsed[name].dump();
}

std::string RoundFixture::outputs() const {
  std::string all;
  for (const auto& entry : std::filesystem::directory_iterator(path())) {
    if (entry.path().extension() != ".out") continue;
    all += "---- " + entry.path().filename().string() + "\n" + read_text(entry.path());
  }
  return all;
}

}  // namespace coshard::test
