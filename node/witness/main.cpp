// coshard-witness: opens its memory, serves, and stops when it is told to.
// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdio>

#include "ledger/store/sqlite_store.h"
#include "ledger/witness.h"
#include "node/logging.h"
#include "node/signals.h"
#include "node/startup.h"
#include "node/witness/options.h"
#include "node/witness/server.h"
#include "node/witness_key.h"

namespace {

using namespace coshard;
using namespace coshard::node;

int refuse(const Error& error, int code) {
  std::fprintf(stderr, "coshard-witness: %s\n", error.message.c_str());
  return code;
}

/// One process for one memory: two could cosign what excludes each other. Held until the end.
Result<void> lock_memory(const std::filesystem::path& directory) {
  const std::string file = (directory / "lock").string();
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0) return {};
  if (fd >= 0) ::close(fd);
  return fail(ErrorCode::kFailedPrecondition,
              file + ": expected to be the only coshard-witness here, found another one running");
}

Result<WitnessKey> open_key(const WitnessOptions& options) {
  COSHARD_ASSIGN(const auto passphrase, read_passphrase(options.passphrase_fd));
  return read_witness_key(options.key, as_passphrase(passphrase));
}

int serve(Signals& signals, const WitnessOptions& options, const WitnessKey& key) {
  const auto memory = ledger::open_sqlite_store(options.directory / "memory.sqlite");
  if (!memory) return refuse(memory.error(), kExitUsage);
  ledger::DiskFolder evidence(options.directory / "evidence");
  ledger::WitnessBook book(**memory, evidence, {key.name, &key.key, options.logs});
  const SystemClock clock;
  const auto server = WitnessServer::start(book, clock, options.listen);
  if (!server) return refuse(server.error(), kExitUsage);
  if (auto said = replace_file(options.directory / "url", "http://" + (*server)->address() + "\n");
      !said)
    return refuse(said.error(), kExitInternal);
  std::printf("coshard-witness: http://%s as %s, %zu log%s\n", (*server)->address().c_str(),
              key.note_key().vkey().c_str(), options.logs.size(),
              options.logs.size() == 1 ? "" : "s");
  std::fflush(stdout);
  signals.wait();
  (*server)->close();
  return kExitDone;
}

}  // namespace

int main(int argc, char** argv) {
  auto signals = Signals::block();
  if (!signals) return refuse(signals.error(), kExitInternal);
  const auto options = parse_witness_options(argc, argv);
  if (!options) return refuse(options.error(), kExitUsage);
  if (!*options) return kExitDone;
  const WitnessOptions& asked = **options;
  const auto key = open_key(asked);
  if (!key) return refuse(key.error(), kExitUsage);
  if (const auto made = prepare_directory(asked.directory); !made)
    return refuse(made.error(), kExitUsage);
  if (const auto locked = lock_memory(asked.directory); !locked)
    return refuse(locked.error(), kExitUsage);
  if (const auto logging = start_logging({"witness", asked.directory / "logs", asked.log_level});
      !logging)
    return refuse(logging.error(), kExitUsage);
  const int code = serve(**signals, asked, *key);
  stop_logging();
  return code;
}
