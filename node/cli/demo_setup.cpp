// See demo_setup.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/demo_setup.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <optional>

#include "crypto/secret_file.h"
#include "node/cli/child_process.h"
#include "node/cli/prepare_progress.h"
#include "node/cli/round_handle.h"
#include "node/progress.h"
#include "shard/data/file.h"
#include "shard/plan/partition.h"

namespace coshard::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMarker = ".coshard-demo";
constexpr const char* kDictionary = "/usr/share/dictd/gcide.dict.dz";
constexpr std::uint64_t kDefaultSteps = 200;  // about two minutes of preset tiny on two cores
constexpr std::uint64_t kWarmupSteps = 20;
constexpr double kLearningRate = 3e-3;

/// Those who own a part of the model without computing: so that the demo shows every role.
constexpr const char* kDataOwner = "data";
constexpr const char* kDesignOwner = "design";

Result<std::vector<fs::path>> find_text(const DemoCommand& command) {
  if (command.data.empty() && !fs::exists(kDictionary))
    return fail(ErrorCode::kNotFound,
                std::string("--data: expected English text at ") + kDictionary +
                    ", found none; install it (apt-get install dict-gcide) or name your own text "
                    "with --data FILE");
  if (command.data.empty()) return std::vector<fs::path>{kDictionary};
  for (const fs::path& file : command.data) {
    if (!fs::is_regular_file(file))
      return fail(ErrorCode::kNotFound,
                  "--data: expected a text file, found none at " + file.string());
  }
  return command.data;
}

Result<void> find_programs() {
  COSHARD_TRY(sibling_program("coshard-coordinator"));
  COSHARD_TRY(sibling_program("coshard-node"));
  return {};
}

enum class FolderState { kFresh, kUnfinished, kFinished };

/// What lies at DIR; a folder that is not a demo's is refused.
Result<FolderState> look_at(const fs::path& dir) {
  std::error_code ec;
  if (!fs::exists(dir, ec)) return FolderState::kFresh;
  if (!fs::is_directory(dir, ec))
    return fail(ErrorCode::kFailedPrecondition,
                "--dir: expected a folder, found a file at " + dir.string());
  if (fs::is_empty(dir, ec)) return FolderState::kFresh;
  if (!fs::exists(dir / kMarker, ec))
    return fail(ErrorCode::kFailedPrecondition,
                "--dir: expected an empty folder or one that a demo made, found other files in " +
                    dir.string() + "; choose another --dir");
  const auto running = read_coordinator_file(dir);
  if (running && is_running({"", running->url, dir, running->pid}) && ask_status(running->url))
    return fail(ErrorCode::kFailedPrecondition, "--dir: expected no demo at work, found process " +
                                                    std::to_string(running->pid) + " in " +
                                                    dir.string());
  return fs::exists(dir / "summary.json", ec) ? FolderState::kFinished : FolderState::kUnfinished;
}

fs::path key_file(const fs::path& dir, const std::string& name) {
  return dir / "keys" / (name + ".key");
}

/// Key pairs by owner: read where DIR has them, else fresh and not yet written.
using Keys = std::map<std::string, crypto::Identity>;

Result<Keys> make_keys(const DemoPlan& plan, bool read_existing) {
  std::vector<std::string> names{kDataOwner, kDesignOwner};
  for (std::uint32_t i = 1; i <= plan.nodes() + plan.joiners; ++i)
    names.push_back("node-" + std::to_string(i));
  Keys keys;
  for (const std::string& name : names) {
    auto stored = read_existing ? crypto::load_identity(key_file(plan.dir, name), std::nullopt)
                                : Result<crypto::Identity>(fail(ErrorCode::kNotFound, ""));
    keys.emplace(name, stored ? std::move(*stored) : crypto::Identity::generate());
  }
  return keys;
}

Result<node::RoundFile> round_of_flags(const DemoCommand& command) {
  COSHARD_ASSIGN(const shard::ModelSpec spec, shard::preset(command.preset));
  node::RoundFile round;
  round.model.name = "demo";
  round.model.spec = spec;
  auto slices = shard::partition(spec, command.stages);
  if (!slices)
    return fail(ErrorCode::kInvalidArgument,
                "--stages: expected 1 to " + std::to_string(spec.layers) + " (preset " +
                    command.preset + " has " + std::to_string(spec.layers) +
                    " layers, each stage needs one), found " + std::to_string(command.stages));
  round.model.slices = std::move(*slices);
  round.data.manifest = "data/manifest.json";
  round.training.steps = command.steps.value_or(kDefaultSteps);
  round.training.microbatches = std::max(8U, 2 * command.replicas);
  round.training.microbatch_sequences = 8;
  round.training.optimizer.lr = kLearningRate;
  round.training.optimizer.warmup = std::min(kWarmupSteps, round.training.steps / 5);
  round.training.checkpoint_epochs = 1;
  round.admission.replicas = round.admission.replicas_max = command.replicas;
  for (const Disturbance& join : command.disturbances)
    if (join.kind == Disturbance::Kind::kJoin)
      round.admission.replicas_max = std::max(round.admission.replicas_max, join.seat->replica + 1);
  return round;
}

/// Who owns the data and the design is known once there are keys.
void share_out(node::RoundFile& round, const Keys& keys) {
  round.ownership.compute = 8000;
  round.ownership.data = 1500;
  round.ownership.design = 500;
  round.ownership.data_recipients = {{keys.at(kDataOwner).account(), 10'000}};
  round.ownership.design_recipients = {{keys.at(kDesignOwner).account(), 10'000}};
}

std::string read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

Result<void> write_text(const fs::path& file, std::string_view text) {
  const auto written = shard::write_atomically(file, as_bytes(text));
  if (!written) return tl::unexpected<Error>(written.error());
  return {};
}

/// Folder, marker, keys and round file.
Result<void> write_down(const DemoPlan& plan, const Keys& keys, const std::string& text) {
  std::error_code ec;
  for (const char* folder : {"keys", "logs", "nodes", "checkpoints"}) {
    fs::create_directories(plan.dir / folder, ec);
    if (ec)
      return fail(ErrorCode::kUnavailable,
                  "--dir: could not make " + (plan.dir / folder).string() + ": " + ec.message());
  }
  COSHARD_TRY(write_text(plan.dir / kMarker, "made by coshard demo, which may replace it\n"));
  for (const auto& [name, identity] : keys) {
    if (!fs::exists(key_file(plan.dir, name), ec))
      COSHARD_TRY(crypto::save_identity(key_file(plan.dir, name), identity, std::nullopt));
  }
  return write_text(plan.dir / "round.toml", text);
}

Result<void> prepare_data(const DemoPlan& plan, const std::vector<fs::path>& text, std::FILE* say) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  shard::PrepareOptions options;
  options.out = plan.dir / "data";
  options.inputs = text;
  std::fprintf(say, "preparing %s\n",
               text.size() == 1 ? text.front().c_str()
                                : (std::to_string(text.size()) + " text files").c_str());
  const auto made = shard::prepare(options, prepare_progress(say));
  if (!made) return tl::unexpected<Error>(made.error().within("--data"));
  std::fprintf(
      say, "  %llu tokens (bytes of text) in %s\n",
      static_cast<unsigned long long>(made->manifest.tokens()),
      node::render_seconds(std::chrono::duration<double>(Clock::now() - start).count()).c_str());
  return {};
}

void name_owners(DemoPlan& plan, const Keys& keys) {
  for (const auto& [name, identity] : keys) plan.owner_names[identity.account()] = name;
}

/// A demo of a round file that the user wrote: its data is where the file says.
Result<DemoPlan> set_up_given_round(const DemoCommand& command, DemoPlan plan, FolderState state,
                                    std::FILE* say) {
  COSHARD_ASSIGN(const node::LoadedRound loaded, node::load_round(*command.round));
  COSHARD_TRY(node::validate_against_disk(loaded.round, loaded.folder));
  if (!loaded.round.admission.open)
    return fail(ErrorCode::kInvalidArgument,
                command.round->string() +
                    ": admission: expected mode = \"open\" for a demo, found a list of nodes");
  COSHARD_TRY(find_programs());
  plan.round = loaded.round;
  plan.round_file = fs::absolute(*command.round);
  plan.data = node::manifest_path(loaded.round, loaded.folder).parent_path();
  plan.resumes =
      state == FolderState::kUnfinished && read_text(plan.dir / "round.toml") == loaded.text;
  if (!plan.resumes && state != FolderState::kFresh) {
    std::fprintf(say, "replacing the demo in %s\n", plan.dir.c_str());
    fs::remove_all(plan.dir);
  }
  COSHARD_ASSIGN(const Keys keys, make_keys(plan, plan.resumes));
  name_owners(plan, keys);
  COSHARD_TRY(write_down(plan, keys, loaded.text));
  return plan;
}

Result<DemoPlan> set_up_own_round(const DemoCommand& command, DemoPlan plan, FolderState state,
                                  std::FILE* say) {
  COSHARD_ASSIGN(const auto text, find_text(command));
  COSHARD_ASSIGN(plan.round, round_of_flags(command));
  COSHARD_TRY(find_programs());
  const bool unfinished = state == FolderState::kUnfinished;
  COSHARD_ASSIGN(Keys keys, make_keys(plan, unfinished));
  share_out(plan.round, keys);
  plan.resumes = unfinished && read_text(plan.dir / "round.toml") == node::to_toml(plan.round) &&
                 node::validate_against_disk(plan.round, plan.dir).has_value();
  if (!plan.resumes && state != FolderState::kFresh) {
    std::fprintf(say, "replacing the demo in %s\n", plan.dir.c_str());
    fs::remove_all(plan.dir);
  }
  COSHARD_ASSIGN(plan.round, node::parse_round(node::to_toml(plan.round), "round.toml"));
  name_owners(plan, keys);
  COSHARD_TRY(write_down(plan, keys, node::to_toml(plan.round)));
  plan.round_file = plan.dir / "round.toml";
  plan.data = plan.dir / "data";
  if (!plan.resumes) COSHARD_TRY(prepare_data(plan, text, say));
  COSHARD_TRY(node::validate_against_disk(plan.round, plan.dir));
  return plan;
}

}  // namespace

Result<DemoPlan> set_up_demo(const DemoCommand& command, std::FILE* say) {
  DemoPlan plan;
  std::error_code ec;
  plan.dir = fs::absolute(command.dir, ec).lexically_normal();
  plan.device = command.device;
  plan.joiners = static_cast<std::uint32_t>(
      std::ranges::count(command.disturbances, Disturbance::Kind::kJoin, &Disturbance::kind));
  COSHARD_ASSIGN(const FolderState state, look_at(plan.dir));
  return command.round ? set_up_given_round(command, std::move(plan), state, say)
                       : set_up_own_round(command, std::move(plan), state, say);
}

}  // namespace coshard::cli
