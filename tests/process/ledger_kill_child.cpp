// The process that ledger_kill_test kills: appends to a log for as long as it lives, publishing
// behind its own back as a coordinator does, and says what is durable only when the store says so.
//   ledger-kill-child PLACE FOLDER     PLACE: a file, or a PostgreSQL URL
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>

#include "tests/process/ledger_kill_round.h"

namespace {

using namespace coshard;
using namespace coshard::ledger;

int give_up(const Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  return 1;
}

void say(const char* what, std::uint64_t size) {
  std::printf("%s %llu\n", what, static_cast<unsigned long long>(size));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  KillRound round(argv[2]);
  auto store = open_kill_store(argv[1]);
  if (!store) return give_up(store.error());
  round.round.store = std::move(*store);
  auto ledger = round.open();
  if (!ledger) return give_up(ledger.error());
  round.folder->start([] {});
  for (std::uint64_t signed_size = 0;;) {
    if (const auto appended = round.append_some(*ledger); !appended)
      return give_up(appended.error());
    if (const auto committed = ledger->commit(); !committed) return give_up(committed.error());
    say("acked", ledger->accounts().size());
    const auto written = round.folder->is_idle();
    if (!written) return give_up(written.error());
    if (!*written) continue;
    if (signed_size > 0) say("published", signed_size);
    const auto published = ledger->publish();
    if (!published) return give_up(published.error());
    signed_size = published->size;
  }
}
