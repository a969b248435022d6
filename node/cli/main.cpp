// coshard: the command line.
// SPDX-License-Identifier: Apache-2.0
#include <exception>

#include "node/cli/commands.h"
#include "node/cli/exit_code.h"

int main(int argc, char** argv) {
  using namespace coshard;
  try {
    const auto command = cli::parse_command_line(argc, argv);
    if (!command) return cli::report(command.error(), cli::kBadInput);
    if (!*command) return cli::kDone;
    return std::visit([](const auto& flags) { return cli::run(flags); }, **command);
  } catch (const std::exception& error) {  // from a library: ours are values
    return cli::report({ErrorCode::kInternal, error.what()}, cli::kFailed);
  }
}
