// coshard data prepare: text files to token shards.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/prepare_progress.h"
#include "node/progress.h"
#include "protocol/base/quantity.h"

namespace coshard::cli {

shard::PrepareProgressFn prepare_progress(std::FILE* stream) {
  const node::Terminal terminal = node::Terminal::of(stream);
  if (!terminal.interactive) return {};
  using Clock = std::chrono::steady_clock;
  return [stream, start = Clock::now()](const shard::PrepareProgress& now) {
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const double share = now.bytes_total == 0 ? 1
                                              : static_cast<double>(now.bytes_read) /
                                                    static_cast<double>(now.bytes_total);
    std::fprintf(stream, "\r  %3.0f %%  %llu tokens  %s/s \x1b[K", share * 100,
                 static_cast<unsigned long long>(now.tokens),
                 bytes_text(static_cast<double>(now.bytes_read) / std::max(seconds, 1e-3)).c_str());
    if (now.bytes_read == now.bytes_total) std::fputs("\r\x1b[K", stream);
    std::fflush(stream);
  };
}

int run(const PrepareCommand& command) {
  shard::PrepareOptions options;
  options.tokenizer = command.tokenizer;
  options.out = command.out;
  options.inputs = command.inputs;
  const auto start = std::chrono::steady_clock::now();
  const auto made = shard::prepare(options, prepare_progress(stderr));
  if (!made) {
    const bool input = made.error().code == ErrorCode::kInvalidArgument ||
                       made.error().code == ErrorCode::kNotFound;
    return report(made.error(), input ? kBadInput : kFailed);
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const std::uint64_t tokens = made->manifest.tokens();
  if (command.json) {
    const nlohmann::ordered_json json{{"manifest", made->manifest_path.string()},
                                      {"tokens", tokens},
                                      {"vocab", made->manifest.vocab},
                                      {"shards", made->manifest.shards.size()},
                                      {"text_bytes", made->text_bytes},
                                      {"seconds", seconds}};
    std::printf("%s\n", json.dump().c_str());
    return kDone;
  }
  std::printf("%s: %llu tokens of %s text in %zu shards, vocabulary %lld, %s (%s/s)\n",
              made->manifest_path.c_str(), static_cast<unsigned long long>(tokens),
              bytes_text(static_cast<double>(made->text_bytes)).c_str(),
              made->manifest.shards.size(), static_cast<long long>(made->manifest.vocab),
              node::render_seconds(seconds).c_str(),
              bytes_text(static_cast<double>(made->text_bytes) / std::max(seconds, 1e-3)).c_str());
  return kDone;
}

}  // namespace coshard::cli
