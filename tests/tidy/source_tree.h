// The checkout as text: what tidy_test asks about. Pure over the files that it has read. One
// thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace coshard::tidy {

struct SourceFile {
  std::string path;  ///< relative to the root, with '/'
  std::vector<std::string> lines;
};

/// Files of ours with one of the extensions, sorted by path; skips build/, .deps/, .git/ and other
/// hidden folders.
std::vector<SourceFile> read_tree(const std::string& root,
                                  const std::vector<std::string>& extensions);

/// Paths in `#include "…"` lines.
std::vector<std::string> quoted_includes(const SourceFile& file);
/// Names in `#include <…>` lines.
std::vector<std::string> angled_includes(const SourceFile& file);

struct FunctionSpan {
  std::size_t first_line;  ///< 1-based: the line that opens the body
  std::size_t lines;       ///< from the opening to the closing line
};

/// Function bodies, found by the shape that clang-format gives them: a line that ends in '{' and is
/// no namespace, type, array or initializer, up to the '}' at the same indentation. Indentation 0,
/// 2 and 4 only (functions and methods).
std::vector<FunctionSpan> functions(const SourceFile& file);

/// The target (row of CONTRIBUTING.md's table) that a path belongs to; empty when it belongs to
/// none.
std::string component_of(std::string_view path);

/// A cycle in the include graph as "a.h -> b.h -> a.h"; empty when there is none.
std::string find_include_cycle(const std::map<std::string, std::vector<std::string>>& graph);

}  // namespace coshard::tidy
