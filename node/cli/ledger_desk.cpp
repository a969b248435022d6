// See ledger_desk.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/ledger_desk.h"

#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "crypto/secret_file.h"
#include "ledger/requests.h"
#include "node/cli/coordinator_process.h"
#include "node/cli/exit_code.h"
#include "node/cli/http_client.h"
#include "node/cli/ledger_mirror.h"
#include "node/cli/ledger_trust.h"
#include "node/cli/passphrase.h"
#include "node/config.h"
#include "node/coordinator/ledger_home.h"
#include "node/coordinator/witness_talk.h"
#include "node/startup.h"
#include "protocol/base/limits.h"

namespace coshard::cli {
namespace {

constexpr int kOk = 200;
constexpr int kLooks = 50;
constexpr int kLookIntervalMs = 200;
/// Entries; less than what a coordinator looks back for what was said before.
constexpr std::uint64_t kLongMemory = 60'000;

/// What the coordinator's status means, for whoever asked.
ErrorCode code_of(int status) {
  switch (status) {
    case 400:
      return ErrorCode::kInvalidArgument;
    case 403:
      return ErrorCode::kPermissionDenied;
    case 409:
      return ErrorCode::kFailedPrecondition;
    case 429:
      return ErrorCode::kResourceExhausted;
    default:
      return ErrorCode::kUnavailable;
  }
}

Result<std::vector<LogIndex>> parse_answer(const HttpAnswer& answer) {
  const auto json = nlohmann::json::parse(answer.body, nullptr, /*allow_exceptions=*/false);
  if (answer.status != kOk) {
    const bool says_why = json.is_object() && json.contains("error") && json["error"].is_string();
    return fail(code_of(answer.status),
                says_why ? json["error"].get<std::string>()
                         : "the coordinator answered with status " + std::to_string(answer.status));
  }
  std::vector<LogIndex> out;
  if (!json.is_object() || !json.contains("indices") || !json["indices"].is_array())
    return fail(ErrorCode::kCorruption, "the coordinator's answer is not what was expected");
  for (const auto& index : json["indices"]) {
    if (!index.is_number_unsigned())
      return fail(ErrorCode::kCorruption, "the coordinator's answer is not what was expected");
    out.push_back(LogIndex(index.get<std::uint64_t>()));
  }
  return out;
}

/// A line of the note is under another name than the log's.
bool has_cosignatures(const ledger::VerifiedLedger& ledger) {
  const auto parts = ledger::parse_note(ledger.note);
  return parts && std::any_of(parts->lines.begin(), parts->lines.end(), [&](const auto& line) {
           return line.name != ledger.checkpoint.origin;
         });
}

}  // namespace

Result<LedgerDesk> LedgerDesk::open(const DeskFlags& flags) {
  COSHARD_ASSIGN(const node::Config config, node::load_config(node::process_environment()));
  COSHARD_ASSIGN(RoundHandle round, find_round(flags.id, config));
  LedgerDesk desk(flags, std::move(round));
  COSHARD_TRY(desk.read());
  return desk;
}

Result<std::string> LedgerDesk::model() const {
  COSHARD_ASSIGN(const CoordinatorFile file, read_coordinator_file(*round_.dir));
  return file.model;
}

Result<void> LedgerDesk::read() {
  ledger::ReaderTrust trust;
  if (!flags_.policy.empty()) {
    COSHARD_ASSIGN(trust.policy, read_policy(flags_.policy));
  }
  if (!round_.dir) {
    COSHARD_ASSIGN(const LedgerMirror mirror, LedgerMirror::fetch(round_.url, ""));
    const ledger::DiskFolder folder(mirror.folder());
    COSHARD_ASSIGN(ledger_, ledger::read_ledger(folder, trust));
    return {};
  }
  COSHARD_ASSIGN(const std::string name, model());
  const ledger::DiskFolder folder(*round_.dir / "ledger" / name);
  constexpr int kTries = 5;  // a coordinator that runs publishes meanwhile
  auto read = ledger::read_ledger(folder, trust);
  for (int left = kTries - 1; left > 0 && !read; --left) read = ledger::read_ledger(folder, trust);
  if (!read) return tl::unexpected(read.error().within("ledger does not verify"));
  ledger_ = std::move(*read);
  return {};
}

std::filesystem::path LedgerDesk::key_file() const {
  if (!flags_.coordinator_key.empty()) return flags_.coordinator_key;
  return round_.dir ? *round_.dir / "coordinator.key" : std::filesystem::path();
}

Result<void> LedgerDesk::open_coordinator_key() {
  if (coordinator_) return {};
  const auto file = key_file();
  if (file.empty())
    return fail(ErrorCode::kInvalidArgument,
                "--coordinator-key: expected the key file of the coordinator at " + round_.url);
  COSHARD_ASSIGN(passphrase_, passphrase_of(file, flags_.coordinator_passphrase_fd));
  COSHARD_ASSIGN(coordinator_, crypto::load_identity(file, node::as_passphrase(passphrase_)));
  return {};
}

Result<std::vector<LogIndex>> LedgerDesk::submit(const Bytes& request) {
  COSHARD_ASSIGN(std::vector<LogIndex> indices, is_here() ? write(request) : post(request));
  // With witnesses a durable entry is published a little later.
  for (int left = kLooks; left > 0; --left) {
    COSHARD_TRY(read());
    if (is_published(indices)) return indices;
    (void)::poll(nullptr, 0, kLookIntervalMs);
  }
  return fail(ErrorCode::kUnavailable,
              "entry " + std::to_string(indices.front().value) +
                  " is durable and not published yet: the coordinator publishes it as soon as its "
                  "witnesses have cosigned; saying the same again changes nothing");
}

bool LedgerDesk::is_published(const std::vector<LogIndex>& indices) const {
  return std::all_of(indices.begin(), indices.end(),
                     [&](LogIndex index) { return index.value < accounts().size(); });
}

Result<std::vector<LogIndex>> LedgerDesk::say(const std::vector<ledger::Leaf>& leaves,
                                              Memory memory) {
  COSHARD_TRY(open_coordinator_key());
  const std::uint64_t size = accounts().size();
  const std::uint64_t back = memory == Memory::kLong ? std::min(size, kLongMemory) : 0;
  return submit(
      ledger::encode_request(network(), coordinator_->operating(), LogIndex(size - back), leaves));
}

Result<std::vector<LogIndex>> LedgerDesk::post(const Bytes& request) const {
  COSHARD_ASSIGN(const HttpAnswer answer,
                 http_post(round_.url, "/ledger/submit", "", std::string(as_text(request))));
  return parse_answer(answer);
}

/// Whom the round asked while it ran, or else those whom this reader believes.
Result<ledger::Policy> LedgerDesk::witnesses() const {
  const auto launch = read_launch(*round_.dir);
  if (launch && !launch->witnesses.empty()) return read_policy(launch->witnesses);
  if (!flags_.policy.empty()) return read_policy(flags_.policy);
  if (!has_cosignatures(*ledger_)) return ledger::Policy();
  return fail(ErrorCode::kInvalidArgument,
              "--policy: expected the policy file of the witnesses that cosigned this ledger, with "
              "their URLs, found none; whoever believes them would not see the entry");
}

Result<std::vector<LogIndex>> LedgerDesk::write(const Bytes& request) {
  COSHARD_ASSIGN(ledger::Policy policy, witnesses());
  COSHARD_TRY(open_coordinator_key());
  COSHARD_ASSIGN(const node::LoadedRound loaded, node::load_round(*round_.dir / "round.toml"));
  const SystemClock clock;
  const bool is_witnessed = policy.needs_witnesses();
  auto home = node::LedgerHome::open(
      *round_.dir, loaded.round, loaded.text, *coordinator_, node::as_passphrase(passphrase_),
      clock, is_witnessed ? ledger::Publication::kWhenCosigned : ledger::Publication::kAtOnce);
  if (!home && home.error().code == ErrorCode::kUnavailable)
    return tl::unexpected(home.error().within(
        "the round's ledger is in use: does its coordinator run on another box, or start now?"));
  if (!home) return tl::unexpected(home.error());
  ledger::RoundLedger& log = (*home)->ledger();
  std::optional<node::WitnessTalk> talk;
  if (is_witnessed) {
    auto carrier = std::make_unique<node::WitnessPool>(policy, [] {});
    COSHARD_ASSIGN(ledger::WitnessDesk desk,
                   ledger::WitnessDesk::open(std::move(policy), (*home)->note_key()));
    talk.emplace(std::move(desk), std::move(carrier));
  }
  COSHARD_ASSIGN(const ledger::Asked asked, log.read(request));
  auto indices = log.submit(asked, clock.wall_ms());
  COSHARD_TRY(log.publish());
  if (!indices || !talk) return indices;
  const std::string what =
      "entry " + std::to_string(indices->front().value) + " is durable and not published yet";
  const auto cosigned = talk->await(log, clock, limits::kWitnessFarewell,
                                    "say the same again when the witnesses answer");
  if (!cosigned) return tl::unexpected(cosigned.error().within(what));
  return indices;
}

Result<AccountId> LedgerDesk::find_account(const std::string& text) const {
  if (const auto whole = to_array<32>(from_hex(text).value_or(Bytes{}))) return AccountId{*whole};
  constexpr std::size_t kDigitsMin = 8;
  const bool is_hex = text.find_first_not_of("0123456789abcdef") == std::string::npos;
  std::set<AccountId> found;
  for (const auto& [account, balance] : accounts().balances())
    if (account.hex().starts_with(text)) found.insert(account);
  for (const auto& [node, registration] : accounts().nodes())
    if (registration.account.hex().starts_with(text)) found.insert(registration.account);
  if (is_hex && text.size() >= kDigitsMin && found.size() == 1) return *found.begin();
  return fail(ErrorCode::kInvalidArgument,
              "an account id of 64 hexadecimal digits, or at least the first 8 of one that this "
              "ledger knows, was expected, found \"" +
                  text + "\"");
}

void print_entry(LogIndex index, const std::string& what, bool as_json) {
  if (as_json)
    std::printf("%s\n", nlohmann::ordered_json{{"index", index.value}}.dump().c_str());
  else
    std::printf("%s: entry %llu\n", what.c_str(), static_cast<unsigned long long>(index.value));
}

int report_entry(const Result<LogIndex>& index, const std::string& what, bool as_json) {
  if (!index) return report_refusal(index.error());
  print_entry(*index, what, as_json);
  return kDone;
}

}  // namespace coshard::cli
