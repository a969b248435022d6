// coshard govern params | grants | sign | submit: what the governors of a round change together.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "ledger/requests.h"
#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_desk.h"
#include "node/cli/passphrase.h"
#include "node/cli/proposal_file.h"
#include "shard/data/file.h"

namespace coshard::cli {
namespace {

constexpr std::size_t kProposalBytesMax = 64 * 1024;

tl::unexpected<Error> bad(const std::string& what) {
  return fail(ErrorCode::kInvalidArgument, what);
}

Result<void> expect_governors(const LedgerDesk& desk) {
  if (!desk.accounts().genesis().governors.empty()) return {};
  return fail(ErrorCode::kFailedPrecondition,
              "this ledger was begun without governors: nobody can change what it fixed");
}

LedgerEpoch epoch_of(const std::optional<std::uint64_t>& asked, const ledger::Accounts& accounts) {
  return asked ? LedgerEpoch(*asked) : first_open_to_change(accounts);
}

/// Writes a proposal that nobody has signed yet, and says what is in it.
Result<int> write(const LedgerDesk& desk, ledger::Leaf leaf, const std::filesystem::path& out,
                  bool as_json) {
  const ledger::Accounts& accounts = desk.accounts();
  const Proposal made{desk.network(), accounts.genesis().model, std::move(leaf)};
  const LedgerEpoch first = first_open_to_change(accounts);
  if (made.first_epoch() < first)
    return bad("--epoch: expected " + std::to_string(first.value) +
               " or later (earlier ones are announced already), found " +
               std::to_string(made.first_epoch().value));
  COSHARD_TRY(shard::write_atomically(out, as_bytes(to_json(made))));
  if (as_json) {
    std::printf("%s\n", nlohmann::ordered_json{{"proposal", out.string()}}.dump().c_str());
    return kDone;
  }
  std::printf("%s", describe(made, accounts).c_str());
  std::printf("The proposal is in %s. Governors sign it with coshard govern sign.\n", out.c_str());
  return kDone;
}

Result<int> params(const GovernParamsCommand& command) {
  COSHARD_ASSIGN(const LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_TRY(expect_governors(desk));
  const LedgerEpoch epoch = epoch_of(command.epoch, desk.accounts());
  const ledger::Params before = desk.accounts().params_at(epoch);
  ledger::Params next = before;
  next.minimum_payout = command.minimum_payout.value_or(before.minimum_payout);
  next.challenge_epochs = command.challenge_epochs.value_or(before.challenge_epochs);
  next.bond_epochs = command.bond_epochs.value_or(before.bond_epochs);
  if (next == before) return bad("expected something to change; see coshard govern params --help");
  return write(desk, ledger::ParamChange{epoch, next, {}}, command.out, command.desk.json);
}

Result<ledger::Role> role_named(const std::string& name) {
  for (const ledger::Role role :
       {ledger::Role::kData, ledger::Role::kDesign, ledger::Role::kTreasury})
    if (name == to_string(role)) return role;
  return bad("--role: expected data, design or treasury, found \"" + name + "\"");
}

/// "ACCOUNT=BASIS_POINTS". An account that the ledger does not know is named by its whole id.
Result<ledger::Grant> parse_grant(const LedgerDesk& desk, const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::string digits = equals == std::string::npos ? "" : text.substr(equals + 1);
  const bool is_number = !digits.empty() && digits.size() <= 5 &&
                         digits.find_first_not_of("0123456789") == std::string::npos;
  if (!is_number) return bad("--grant: expected ACCOUNT=BASIS_POINTS, found \"" + text + "\"");
  COSHARD_ASSIGN(const AccountId account, desk.find_account(text.substr(0, equals)));
  return ledger::Grant{account, std::stoull(digits)};
}

Result<int> grants(const GovernGrantsCommand& command) {
  COSHARD_ASSIGN(const ledger::Role role, role_named(command.role));
  COSHARD_ASSIGN(const LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_TRY(expect_governors(desk));
  ledger::RoleGrants leaf{epoch_of(command.epoch, desk.accounts()), role, {}, {}};
  std::uint64_t sum = 0;
  for (const std::string& text : command.grants) {
    COSHARD_ASSIGN(const ledger::Grant grant, parse_grant(desk, text));
    leaf.grants.push_back(grant);
    sum += grant.basis_points;
  }
  if (sum != ledger::kBasisPoints)
    return bad("--grant: expected basis points that sum to 10000, found " + std::to_string(sum));
  std::sort(leaf.grants.begin(), leaf.grants.end(),
            [](const auto& a, const auto& b) { return a.account < b.account; });
  return write(desk, leaf, command.out, command.desk.json);
}

Result<Proposal> read(const LedgerDesk& desk, const std::filesystem::path& file) {
  COSHARD_ASSIGN(const Bytes bytes,
                 shard::read_whole(file, kProposalBytesMax, shard::Symlinks::kFollow));
  auto proposal = parse_proposal(as_text(bytes), desk.accounts());
  if (!proposal) return tl::unexpected(proposal.error().within(file.string()));
  return proposal;
}

Result<int> sign(const GovernSignCommand& command) {
  COSHARD_ASSIGN(const LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(Proposal proposal, read(desk, command.file));
  COSHARD_ASSIGN(const auto keys, open_keys(command.key.file, command.key.passphrase_fd));
  // The round file names governors by their operating keys, as it names nodes.
  const crypto::KeyPair* governor = &keys.operating();
  if (!is_governor(desk.accounts(), governor->public_key()) && keys.has_root())
    governor = &keys.root();
  if (!is_governor(desk.accounts(), governor->public_key()))
    return fail(ErrorCode::kPermissionDenied, command.key.file.string() + ": neither its node " +
                                                  keys.node().short_hex() +
                                                  " nor its root is a governor of this round");
  std::fprintf(stderr, "%s", describe(proposal, desk.accounts()).c_str());
  if (!command.yes) {
    COSHARD_ASSIGN(const bool yes, agrees("Sign this as a governor?"));
    if (!yes) return fail(ErrorCode::kFailedPrecondition, "nothing was signed");
  }
  proposal.sign(*governor);
  const auto out = command.out.empty() ? command.file : command.out;
  COSHARD_TRY(shard::write_atomically(out, as_bytes(to_json(proposal))));
  const std::size_t have = proposal.signatures().size();
  const std::uint64_t need = desk.accounts().genesis().governors_needed;
  if (command.desk.json)
    std::printf("%s\n",
                nlohmann::ordered_json{{"signatures", have}, {"needed", need}}.dump().c_str());
  else
    std::printf("signed: %s has %zu of %llu signatures%s\n", out.c_str(), have,
                static_cast<unsigned long long>(need),
                have < need ? "" : "; anybody submits it with coshard govern submit");
  return kDone;
}

Result<int> submit(const GovernSubmitCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const Proposal proposal, read(desk, command.file));
  COSHARD_ASSIGN(const auto indices,
                 desk.submit(ledger::encode_request(desk.network(), proposal.leaf)));
  print_entry(indices.front(),
              "changed from epoch " + std::to_string(proposal.first_epoch().value) + " on",
              command.desk.json);
  return kDone;
}

int answer(const Result<int>& done) { return done ? *done : report_refusal(done.error()); }

}  // namespace

int run(const GovernParamsCommand& command) { return answer(params(command)); }
int run(const GovernGrantsCommand& command) { return answer(grants(command)); }
int run(const GovernSignCommand& command) { return answer(sign(command)); }
int run(const GovernSubmitCommand& command) { return answer(submit(command)); }

}  // namespace coshard::cli
