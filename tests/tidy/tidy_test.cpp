// The tree obeys its own rules (CONTRIBUTING.md): who may include whom, no cycles, sizes, banned
// calls, no dead files.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <ranges>
#include <regex>
#include <set>

#include "tests/tidy/source_tree.h"

namespace coshard::tidy {
namespace {

using Names = std::set<std::string>;

/// CONTRIBUTING.md's table: which components a component may include besides itself.
const std::map<std::string, Names>& allowed() {
  static const Names everything{"base", "crypto",  "wire", "transport", "round", "sim",  "ledger",
                                "plan", "numeric", "data", "shard",     "cuda",  "node", "daemon"};
  static const Names torch_free{"base",   "crypto", "wire",    "transport", "round", "sim",
                                "ledger", "plan",   "numeric", "data",      "node"};
  static const Names daemon = [] {
    Names names = torch_free;
    names.insert("shard");
    return names;
  }();
  static const std::map<std::string, Names> table{
      {"base", {}},
      {"crypto", {"base"}},
      {"wire", {"base", "crypto"}},
      {"round", {"base"}},
      {"sim", {"base", "round"}},
      {"transport", {"base", "crypto", "wire"}},
      {"ledger", {"base", "crypto", "wire"}},
      {"plan", {"base"}},
      {"numeric", {"base"}},
      {"data", {"base", "crypto", "plan", "numeric"}},
      {"shard", {"base", "plan", "numeric", "data"}},
      {"cuda", {"base", "plan", "numeric", "data", "shard"}},
      {"node", torch_free},
      {"daemon", daemon},
      {"tests", everything},
  };
  return table;
}

/// Where a third-party header may appear: regex of header -> regex of paths.
const std::vector<std::pair<std::string, std::string>>& third_party() {
  static const std::vector<std::pair<std::string, std::string>> table{
      {R"(^(torch|ATen|c10)/)", R"(^(shard/(model|engine|boundary|collective|cuda)/)"
                                R"(|tests/(golden|unit/(shard|cuda)|contract|bench)/))"},
      {R"(^(cuda|nccl))", R"(^shard/cuda/)"},
      {R"(^sodium)", R"(^(crypto/[^/]*\.cpp|tests/))"},
      {R"(^openssl/)", R"(^(crypto/[^/]*\.cpp|tests/))"},
      {R"(^zmq)", R"(^(protocol/transport/(zmq_|zap_|reactor)[^/]*|tests/))"},
      {R"(^google/protobuf)", R"(^(protocol/wire/[^/]*\.cpp|tests/))"},
      {R"(^crypto\+\+/)", R"(^ledger/distributor\.cpp$)"},
      {R"(^sqlite3)", R"(^(ledger/store/[^/]*\.cpp|node/coordinator/[^/]*\.cpp|tests/))"},
      {R"(^libpq)", R"(^ledger/store/[^/]*\.cpp$)"},
      {R"(^spdlog)", R"(^node/logging\.cpp$)"},
      {R"(^CLI/)", R"(^(node/(daemon|coordinator|cli|witness)/[^/]*\.(cpp|h)|tests/))"},
      {R"(^toml\+\+)", R"(^(node/[^/]*\.cpp|node/cli/[^/]*\.cpp|tests/))"},
      {R"(^httplib)", R"(^(node/(coordinator|witness)/[^/]*\.cpp|node/web_client\.cpp|tests/))"},
      {R"(^nlohmann/)", R"(^(shard/(data|checkpoint)/[^/]*\.cpp|node/.*\.(cpp|h)|tests/))"},
      {R"(^sentencepiece)", R"(^(shard/data/[^/]*\.cpp|tests/))"},
  };
  return table;
}

struct Ban {
  std::string pattern;
  std::string where;   ///< paths that it applies to
  std::string unless;  ///< paths that may
  std::string why;
};

const std::vector<Ban>& bans() {
  static const std::vector<Ban> table{
      {R"(\b(float|double)\b)", R"(^ledger/)", "", "accounts are integers only"},
      {R"(torch::(load|pickle_load|jit::load))", ".*", "", "pickles run code: safetensors only"},
      {R"(\b(system_clock|steady_clock)::now)", R"(^(protocol|shard|ledger|crypto)/)",
       R"(^protocol/base/clock\.h|^shard/cuda/)",
       "time comes in as an argument (protocol/base/clock.h)"},
      {R"(\b(s?rand|random_device|mt19937)\b\s*[({])", R"(^(protocol|shard|ledger|crypto|node)/)",
       "", "chance comes from protocol/base/rng.h or crypto/random.h"},
      {R"(\bsleep_for\b|\busleep\b|\bsleep\()", ".*", R"(^tests/(support|bench)/)",
       "waits have a name and an event, never a sleep"},
      {R"(^\s*throw\b)", R"(^(protocol|shard|ledger|crypto|node)/)", "", "errors are values"},
      {R"(\busing namespace std\b)", ".*", "", "names say where they come from"},
      {R"(\bstd::cout\b|\bprintf\()", R"(^(protocol|shard|ledger|crypto)/)", "",
       "libraries log (protocol/base/log.h); programs print"},
      {R"(\b(TODO|FIXME|XXX)\b(?!\(#\d+\)))", ".*", R"(^tests/tidy/)",
       "a TODO names its issue: TODO(#7)"},
      {R"(\bNDEBUG\b)", ".*", R"(^protocol/base/check\.h$|^tests/tidy/)",
       "assertions are always on"},
      {R"(fopenmp)", ".*", R"(^tests/tidy/)", "the wheel brings its own OpenMP run time"},
      {"\t", ".*", "", "no tabs"},
      {R"(\s+$)", ".*", "", "no trailing space"},
  };
  return table;
}

const std::vector<SourceFile>& sources() {
  static const std::vector<SourceFile> files =
      read_tree(COSHARD_SOURCE_DIR, {".h", ".cpp", ".cu", ".cuh"});
  return files;
}

TEST(Tidy, IncludesFollowTheTable) {
  for (const SourceFile& file : sources()) {
    const std::string from = component_of(file.path);
    ASSERT_FALSE(from.empty()) << file.path << " lies in no folder of CONTRIBUTING.md's table";
    for (const std::string& include : quoted_includes(file)) {
      if (include.ends_with(".pb.h")) {
        EXPECT_TRUE(file.path.starts_with("protocol/wire/") && file.path.ends_with(".cpp"))
            << file.path << " includes generated " << include << ": only protocol/wire/*.cpp may";
        continue;
      }
      const std::string to = component_of(include);
      EXPECT_FALSE(to.empty()) << file.path << ": \"" << include
                               << "\" is not a path from the root";
      EXPECT_TRUE(to == from || allowed().at(from).contains(to))
          << file.path << " (" << from << ") may not include " << include << " (" << to << ")";
    }
  }
}

TEST(Tidy, ThirdPartyHeadersStopWhereTheTableSays) {
  for (const SourceFile& file : sources()) {
    for (const std::string& include : angled_includes(file)) {
      for (const auto& [header, where] : third_party()) {
        if (!std::regex_search(include, std::regex(header))) continue;
        EXPECT_TRUE(std::regex_search(file.path, std::regex(where)))
            << file.path << " may not include <" << include << ">";
      }
    }
  }
}

TEST(Tidy, NoIncludeCycle) {
  std::map<std::string, std::vector<std::string>> graph;
  for (const SourceFile& file : sources()) graph[file.path] = quoted_includes(file);
  EXPECT_EQ(find_include_cycle(graph), "");
}

/// Columns, not bytes: continuation bytes of UTF-8 take no column.
std::size_t columns(const std::string& line) {
  return static_cast<std::size_t>(std::ranges::count_if(
      line, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

TEST(Tidy, SizesStayReadable) {
  constexpr std::size_t kColumnsMax = 100, kFunctionLinesMax = 70, kFileLinesMax = 500;
  for (const SourceFile& file : sources()) {
    EXPECT_LE(file.lines.size(), kFileLinesMax) << file.path;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      EXPECT_LE(columns(file.lines[i]), kColumnsMax) << file.path << ":" << i + 1;
    }
    for (const FunctionSpan& span : functions(file)) {
      EXPECT_LE(span.lines, kFunctionLinesMax)
          << file.path << ":" << span.first_line << ": split this function";
    }
  }
}

TEST(Tidy, BannedCallsAreAbsent) {
  for (const Ban& ban : bans()) {
    const std::regex pattern(ban.pattern), where(ban.where), unless(ban.unless);
    for (const SourceFile& file : sources()) {
      if (!std::regex_search(file.path, where)) continue;
      if (!ban.unless.empty() && std::regex_search(file.path, unless)) continue;
      for (std::size_t i = 0; i < file.lines.size(); ++i) {
        const std::string code = file.lines[i].substr(0, file.lines[i].find("//"));
        const std::string& text =
            ban.pattern == R"(\s+$)" || ban.pattern.find("TODO") != std::string::npos
                ? file.lines[i]
                : code;
        if (ban.pattern == R"(\s+$)" || !text.empty()) {
          EXPECT_FALSE(std::regex_search(text, pattern))
              << file.path << ":" << i + 1 << ": " << ban.why;
        }
      }
    }
  }
}

TEST(Tidy, EveryFileSaysItsLicence) {
  for (const SourceFile& file : sources()) {
    const auto head = file.lines | std::views::take(20);
    EXPECT_TRUE(std::ranges::any_of(head, [](const std::string& line) {
      return line.find("SPDX-License-Identifier: Apache-2.0") != std::string::npos;
    })) << file.path;
    if (file.path.ends_with(".h")) {
      EXPECT_TRUE(std::ranges::find(file.lines, "#pragma once") != file.lines.end()) << file.path;
    }
  }
}

/// A source that no target builds is a comment.
TEST(Tidy, NoDeadFiles) {
  std::string build;
  for (const SourceFile& file : read_tree(COSHARD_SOURCE_DIR, {"CMakeLists.txt", ".cmake"})) {
    for (const std::string& line : file.lines) build += line + "\n";
  }
  Names included;
  for (const SourceFile& file : sources()) {
    for (const std::string& include : quoted_includes(file)) included.insert(include);
  }
  for (const SourceFile& file : sources()) {
    const std::string name = file.path.substr(file.path.rfind('/') + 1);
    if (file.path.ends_with(".h") || file.path.ends_with(".cuh")) {
      EXPECT_TRUE(included.contains(file.path)) << file.path << " is included by nobody";
    } else {
      const bool fuzz_target = name.ends_with("_fuzz.cpp");
      const std::string listed =
          fuzz_target ? "coshard_fuzz(" + name.substr(0, name.size() - 9) + " " : name;
      EXPECT_NE(build.find(listed), std::string::npos) << file.path << " is built by no target";
    }
  }
}

TEST(Tidy, EveryFolderHasItsPage) {
  for (const char* folder : {"protocol", "crypto", "ledger", "shard", "node", "tests", "deploy"}) {
    EXPECT_FALSE(read_tree(std::string(COSHARD_SOURCE_DIR) + "/" + folder, {".md"}).empty())
        << folder << "/README.md is missing";
  }
}

/// The reference's attack list (ledger.md 9) is a list of tests: each number begins a test's name.
/// What C1 to C25 attack, audits, is not there yet.
TEST(Tidy, EveryAttackHasItsTest) {
  static const std::regex test(R"(^TEST(_F|_P)?\(\w+, ([ABDE]\d+)_)");
  Names found;
  for (const SourceFile& file : sources()) {
    if (!file.path.starts_with("tests/")) continue;
    for (const std::string& line : file.lines) {
      std::smatch match;
      if (std::regex_search(line, match, test)) found.insert(match[2]);
    }
  }
  const std::map<char, int> last{{'A', 12}, {'B', 11}, {'D', 14}, {'E', 7}};
  for (const auto& [letter, count] : last) {
    for (int number = 1; number <= count; ++number) {
      const std::string name = letter + std::to_string(number);
      EXPECT_TRUE(found.contains(name)) << name << " has no test";
    }
  }
}

TEST(Tidy, CheckersCanFail) {
  const std::map<std::string, std::vector<std::string>> cyclic{
      {"a", {"b"}}, {"b", {"c"}}, {"c", {"a"}}};
  EXPECT_EQ(find_include_cycle(cyclic), "a -> b -> c -> a");
  SourceFile file{"x.cpp", {"int f() {"}};
  for (int i = 0; i < 80; ++i) file.lines.emplace_back("  g();");
  file.lines.emplace_back("}");
  ASSERT_EQ(functions(file).size(), 1u);
  EXPECT_EQ(functions(file)[0].lines, 82u);
  EXPECT_EQ(component_of("shard/data/x.h"), "data");
  EXPECT_EQ(component_of("shard/engine/x.h"), "shard");
  EXPECT_FALSE(allowed().at("round").contains("wire"));
}

}  // namespace
}  // namespace coshard::tidy
