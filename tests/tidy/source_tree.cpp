// SPDX-License-Identifier: Apache-2.0
#include "tests/tidy/source_tree.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <regex>
#include <set>
#include <utility>

namespace coshard::tidy {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> matches(const SourceFile& file, const std::regex& pattern) {
  std::vector<std::string> out;
  for (const std::string& line : file.lines) {
    std::smatch match;
    if (std::regex_search(line, match, pattern)) out.push_back(match[1]);
  }
  return out;
}

std::size_t indentation(const std::string& line) {
  return std::min(line.find_first_not_of(' '), line.size());
}

bool opens_function(const std::string& line) {
  static const std::regex not_a_function(
      R"(^\s*(namespace|class|struct|enum|union|extern|using|\}|else|do\b|if|for|while|switch|)"
      R"(case|default|return|#))");
  // A value in braces has no space before them.
  if (!line.ends_with(" {") || line.find("= {") != std::string::npos) return false;
  return indentation(line) <= 4 && !std::regex_search(line, not_a_function);
}

}  // namespace

std::vector<SourceFile> read_tree(const std::string& root,
                                  const std::vector<std::string>& extensions) {
  std::vector<SourceFile> files;
  for (auto it = fs::recursive_directory_iterator(root); it != fs::recursive_directory_iterator();
       ++it) {
    const std::string name = it->path().filename();
    if (it->is_directory() &&
        (name.starts_with(".") || name == "build" || name == "coshard-demo")) {
      it.disable_recursion_pending();
      continue;
    }
    const std::string extension = name == "CMakeLists.txt" ? name : it->path().extension().string();
    if (!it->is_regular_file() || std::ranges::find(extensions, extension) == extensions.end())
      continue;
    SourceFile file{fs::relative(it->path(), root).generic_string(), {}};
    std::ifstream in(it->path());
    for (std::string line; std::getline(in, line);) file.lines.push_back(line);
    files.push_back(std::move(file));
  }
  std::ranges::sort(files, {}, &SourceFile::path);
  return files;
}

std::vector<std::string> quoted_includes(const SourceFile& file) {
  static const std::regex pattern("^\\s*#include \"([^\"]+)\"");
  return matches(file, pattern);
}

std::vector<std::string> angled_includes(const SourceFile& file) {
  static const std::regex pattern("^\\s*#include <([^>]+)>");
  return matches(file, pattern);
}

std::vector<FunctionSpan> functions(const SourceFile& file) {
  std::vector<FunctionSpan> spans;
  for (std::size_t i = 0; i < file.lines.size(); ++i) {
    if (!opens_function(file.lines[i])) continue;
    // A signature may be wrapped: the body's indentation is that of the line that the parenthesis
    // began on. A constructor's initialisers come between the two.
    const auto goes_on = [&](const std::string& line) {
      return indentation(line) > 4 || line.starts_with("    : ");
    };
    std::size_t start = i;
    while (start > 0 && goes_on(file.lines[start])) --start;
    const std::size_t indent = indentation(file.lines[start]);
    const std::string closing(indent, ' ');
    for (std::size_t j = i + 1; j < file.lines.size(); ++j) {
      if (file.lines[j].starts_with(closing + "}") && indentation(file.lines[j]) == indent) {
        spans.push_back({i + 1, j - i + 1});
        break;
      }
    }
  }
  return spans;
}

std::string component_of(std::string_view path) {
  // Longest prefix first: shard/data before shard.
  static const std::array<std::pair<std::string_view, std::string_view>, 19> kFolders{{
      {"protocol/base/", "base"},
      {"protocol/wire/", "wire"},
      {"protocol/transport/", "transport"},
      {"protocol/round/", "round"},
      {"protocol/sim/", "sim"},
      {"crypto/", "crypto"},
      {"ledger/", "ledger"},
      {"shard/plan/", "plan"},
      {"shard/numeric/", "numeric"},
      {"shard/data/", "data"},
      {"shard/checkpoint/", "data"},
      {"shard/cuda/", "cuda"},
      {"shard/", "shard"},
      {"node/daemon/", "daemon"},
      {"node/coordinator/", "node"},
      {"node/cli/", "node"},
      {"node/", "node"},
      {"tests/", "tests"},
      {"deploy/", "deploy"},
  }};
  for (const auto& [prefix, name] : kFolders) {
    if (path.starts_with(prefix)) return std::string(name);
  }
  return "";
}

std::string find_include_cycle(const std::map<std::string, std::vector<std::string>>& graph) {
  std::set<std::string> done;
  std::vector<std::string> path;
  std::function<std::string(const std::string&)> visit =
      [&](const std::string& node) -> std::string {
    if (const auto seen = std::ranges::find(path, node); seen != path.end()) {
      std::string cycle;
      for (auto it = seen; it != path.end(); ++it) cycle += *it + " -> ";
      return cycle + node;
    }
    if (!done.insert(node).second) return "";
    path.push_back(node);
    if (const auto edges = graph.find(node); edges != graph.end()) {
      for (const std::string& next : edges->second) {
        if (std::string cycle = visit(next); !cycle.empty()) return cycle;
      }
    }
    path.pop_back();
    return "";
  };
  for (const auto& [node, edges] : graph) {
    if (std::string cycle = visit(node); !cycle.empty()) return cycle;
  }
  return "";
}

}  // namespace coshard::tidy
