// Starting from a Hugging Face LLaMA directory (hf_llama.h).
// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "protocol/base/limits.h"
#include "shard/checkpoint/hf_llama.h"
#include "shard/data/file.h"
#include "shard/data/json.h"

namespace coshard::shard {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWholeFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";
constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";

// Hugging Face's own download cache is made of symbolic links, and the user named the directory.
constexpr Symlinks kLinks = Symlinks::kFollow;

}  // namespace

Result<std::map<std::string, std::string>> parse_hf_index(std::string_view text) {
  const auto parsed = Json::parse(text);
  if (!parsed) return tl::unexpected(parsed.error().within(kIndexFile));
  COSHARD_ASSIGN(const Json::Object* entries, parsed->object_at("weight_map"));
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : *entries) {
    const std::string* name = file.string();
    if (name == nullptr || name->empty() || name->front() == '.' ||
        name->find('/') != std::string::npos || name->find('\0') != std::string::npos)
      return fail(ErrorCode::kInvalidArgument, std::string(kIndexFile) + ": tensor " + tensor +
                                                   ": expected the name of a file next to it");
    files.emplace(tensor, *name);
  }
  if (files.empty())
    return fail(ErrorCode::kInvalidArgument, std::string(kIndexFile) + ": it names no tensor");
  return files;
}

Result<HfLlamaDirectory> HfLlamaDirectory::open(const fs::path& folder) {
  COSHARD_ASSIGN(const Bytes text,
                 read_whole(folder / "config.json", limits::kManifestBytesMax, kLinks));
  auto config = parse_hf_config(as_text(text));
  if (!config) return tl::unexpected(config.error().within(folder.string()));
  HfLlamaDirectory directory(folder, *config);
  const auto index = read_whole(folder / kIndexFile, limits::kManifestBytesMax, kLinks);
  if (index) {
    auto files = parse_hf_index(as_text(*index));
    if (!files) return tl::unexpected(files.error().within(folder.string()));
    directory.file_of_tensor_ = std::move(*files);
  } else if (index.error().code != ErrorCode::kNotFound) {
    return tl::unexpected(index.error());
  }
  return directory;
}

Result<const SafetensorsFile*> HfLlamaDirectory::file_of(const std::string& tensor) {
  std::string name = kWholeFile;
  if (!file_of_tensor_.empty()) {
    const auto found = file_of_tensor_.find(tensor);
    if (found == file_of_tensor_.end())
      return fail(ErrorCode::kNotFound,
                  (folder_ / kIndexFile).string() + ": it has no tensor " + tensor);
    name = found->second;
  }
  const auto opened = files_.find(name);
  if (opened != files_.end()) return &opened->second;
  COSHARD_ASSIGN(SafetensorsFile file, SafetensorsFile::open(folder_ / name, kLinks));
  return &files_.emplace(name, std::move(file)).first->second;
}

Result<void> HfLlamaDirectory::read(const ParameterSpec& parameter, std::uint64_t first,
                                    std::span<float> out) {
  const std::string name = config_.tied && parameter.name == kHead ? kEmbedding : parameter.name;
  COSHARD_ASSIGN(const SafetensorsFile* file, file_of(name));
  COSHARD_ASSIGN(const TensorEntry* tensor, file->find(name));
  if (tensor->shape != parameter.shape)
    return fail(ErrorCode::kCorruption, file->path().string() + ": tensor " + name +
                                            " has another shape than config.json says");
  return file->read_floats(*tensor, first, out);
}

std::vector<std::string> HfLlamaDirectory::files_opened() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : files_) names.push_back(name);
  return names;
}

}  // namespace coshard::shard
