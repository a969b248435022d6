// See checkpoint_folder.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/daemon/checkpoint_folder.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "node/part_file.h"
#include "protocol/base/limits.h"
#include "shard/data/file.h"

namespace coshard::node {

namespace fs = std::filesystem;

namespace {

/// The number in `name` between `prefix` and `suffix`.
std::optional<std::uint64_t> number_between(std::string_view name, std::string_view prefix,
                                            std::string_view suffix) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix) ||
      name.size() <= prefix.size() + suffix.size())
    return std::nullopt;
  name.remove_prefix(prefix.size());
  name.remove_suffix(suffix.size());
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return number;
}

using StepFolder = std::pair<std::uint64_t, fs::path>;

/// "step-00000020" and the like, newest first.
std::vector<StepFolder> step_folders(const fs::path& checkpoints) {
  std::error_code none;
  std::vector<StepFolder> folders;
  for (const auto& entry : fs::directory_iterator(checkpoints, none)) {
    if (const auto step = number_between(entry.path().filename().string(), "step-", ""))
      folders.emplace_back(*step, entry.path());
  }
  std::sort(folders.rbegin(), folders.rend());
  return folders;
}

}  // namespace

std::vector<HeldCheckpoint> held_checkpoints(const fs::path& checkpoints) {
  std::error_code none;
  std::vector<HeldCheckpoint> held;
  std::size_t steps = 0;
  for (const auto& [step, folder] : step_folders(checkpoints)) {
    if (steps == limits::kCheckpointsHeld) break;
    const std::size_t before = held.size();
    for (const auto& entry : fs::directory_iterator(folder, none)) {
      const auto stage = number_between(entry.path().filename().string(), "stage-", ".safetensors");
      if (!stage || *stage >= limits::kStagesMax) continue;
      const auto file = shard::ReadFile::open(entry.path(), shard::Symlinks::kRefuse);
      if (!file) continue;
      const auto hash = file->hash();
      if (hash)
        held.push_back({StageIndex(static_cast<std::uint32_t>(*stage)), StepId(step), *hash});
    }
    if (held.size() > before) ++steps;
  }
  return held;
}

void drop_old(const fs::path& checkpoints, StepId step, const std::string& name, std::size_t kept) {
  std::error_code ignored;
  for (const auto& [number, folder] : step_folders(checkpoints)) {
    if (number > step.value) continue;  // of a future that was rolled back
    if (kept > 0) {
      if (fs::exists(folder / name, ignored)) --kept;
      continue;
    }
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      const std::string found = entry.path().filename().string();
      if (found == name || PartFile::is_part_of(found, name)) fs::remove(entry.path(), ignored);
    }
    fs::remove(folder, ignored);  // only when it is empty
  }
}

}  // namespace coshard::node
