// coshard transfer offer | accept | submit | give, coshard bond lock | release: what owners sign.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <nlohmann/json.hpp>

#include "crypto/signed_payload.h"
#include "ledger/requests.h"
#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/cli/ledger_desk.h"
#include "node/cli/offer_file.h"
#include "node/cli/passphrase.h"
#include "node/progress.h"
#include "shard/data/file.h"

namespace coshard::cli {
namespace {

constexpr std::size_t kOfferBytesMax = 64 * 1024;

/// Who speaks with a key, and the number of his next entry.
struct Owner {
  crypto::Identity keys;
  AccountId account;
  std::uint64_t next = 0;
};

Result<Owner> open_owner(const LedgerDesk& desk, const KeyFlags& flags) {
  COSHARD_ASSIGN(crypto::Identity keys, open_owner_keys(flags.file, flags.passphrase_fd));
  const auto account = desk.accounts().account_of(keys.certificate().root_public);
  if (!account)
    return fail(ErrorCode::kPermissionDenied,
                flags.file.string() + ": its root key speaks for no account in this ledger");
  const std::uint64_t next = desk.accounts().balance(*account).entries + 1;
  return Owner{std::move(keys), *account, next};
}

ledger::SignedBody sign(const Owner& owner, const LedgerDesk& desk, const ledger::Leaf& leaf) {
  return ledger::sign_body(owner.keys.root(), desk.network(), owner.next, leaf);
}

Result<void> expect_free(const LedgerDesk& desk, const Owner& owner, std::uint64_t units) {
  const std::uint64_t free = desk.accounts().free_units(owner.account);
  if (units <= free) return {};
  return fail(ErrorCode::kFailedPrecondition,
              "account " + owner.account.short_hex() + " can move " + node::render_count(free) +
                  " units now (posted, neither bonded nor still vesting), found " +
                  node::render_count(units));
}

Result<Offer> read_offer(const LedgerDesk& desk, const std::filesystem::path& file) {
  COSHARD_ASSIGN(const Bytes bytes,
                 shard::read_whole(file, kOfferBytesMax, shard::Symlinks::kFollow));
  auto offer = parse_offer(as_text(bytes), desk.network());
  if (!offer) return tl::unexpected(offer.error().within(file.string()));
  return offer;
}

Result<int> offer(const TransferOfferCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const AccountId to, desk.find_account(command.to));
  COSHARD_ASSIGN(const Owner owner, open_owner(desk, command.key));
  COSHARD_TRY(expect_free(desk, owner, command.units));
  const std::uint64_t size = desk.accounts().size();
  const LogIndex expires(command.expires == 0 ? 0 : size + command.expires);
  const ledger::UnitTransfer leaf{owner.account, to,      command.units,
                                  command.price, expires, command.reference};
  const ledger::SignedBody body = sign(owner, desk, leaf);
  if (command.give) {
    COSHARD_ASSIGN(const auto indices, desk.submit(ledger::encode_request(desk.network(), body)));
    print_entry(indices.front(), node::render_count(leaf.units) + " units given to " + to.hex(),
                command.desk.json);
    return kDone;
  }
  const OfferFile file{desk.network(), desk.accounts().genesis().model, body};
  COSHARD_TRY(shard::write_atomically(command.out, as_bytes(to_json(file))));
  if (command.desk.json) {
    std::printf("%s\n", nlohmann::ordered_json{{"offer", command.out.string()}}.dump().c_str());
    return kDone;
  }
  const Offer made{file, {}, leaf};
  std::printf("%s", describe(made, desk.currency(), size).c_str());
  std::printf("The offer is in %s. It ends when you sign anything else in this ledger.\n",
              command.out.c_str());
  return kDone;
}

Result<int> accept(const TransferAcceptCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(Offer offer, read_offer(desk, command.file));
  COSHARD_ASSIGN(const Owner buyer, open_owner(desk, command.key));
  if (buyer.account != offer.transfer.to)
    return fail(ErrorCode::kPermissionDenied,
                "the offer is made to account " + offer.transfer.to.short_hex() + ", found " +
                    command.key.file.string() + " of account " + buyer.account.short_hex());
  std::fprintf(stderr, "%s", describe(offer, desk.currency(), desk.accounts().size()).c_str());
  if (!command.yes) {
    COSHARD_ASSIGN(const bool yes, agrees("Sign this as the buyer?"));
    if (!yes) return fail(ErrorCode::kFailedPrecondition, "nothing was signed");
  }
  const crypto::KeyPair& root = buyer.keys.root();
  auto& signatures = offer.file.body.signatures;
  if (signatures.size() == 1)
    signatures.push_back(
        {root.public_key(), crypto::sign_payload(root, crypto::domains::kEntryBody, desk.network(),
                                                 offer.file.body.body)});
  const auto out = command.out.empty() ? command.file : command.out;
  COSHARD_TRY(shard::write_atomically(out, as_bytes(to_json(offer.file))));
  std::printf("signed: %s; now either of you submits it with coshard transfer submit\n",
              out.c_str());
  return kDone;
}

Result<int> submit(const TransferSubmitCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const Offer offer, read_offer(desk, command.file));
  COSHARD_ASSIGN(const auto indices,
                 desk.submit(ledger::encode_request(desk.network(), offer.file.body)));
  print_entry(indices.front(),
              node::render_count(offer.transfer.units) + " units moved from " +
                  offer.transfer.from.short_hex() + " to " + offer.transfer.to.short_hex(),
              command.desk.json);
  return kDone;
}

Result<int> bond(const BondCommand& command) {
  COSHARD_ASSIGN(LedgerDesk desk, LedgerDesk::open(command.desk));
  COSHARD_ASSIGN(const Owner owner, open_owner(desk, command.key));
  ledger::Leaf leaf = ledger::Bond{command.units};
  if (command.release)
    leaf = ledger::BondRelease{command.units};
  else
    COSHARD_TRY(expect_free(desk, owner, command.units));
  COSHARD_ASSIGN(const auto indices,
                 desk.submit(ledger::encode_request(desk.network(), sign(owner, desk, leaf))));
  print_entry(indices.front(),
              node::render_count(command.units) +
                  (command.release ? " units are being released" : " units are bonded"),
              command.desk.json);
  return kDone;
}

int answer(const Result<int>& done) { return done ? *done : report_refusal(done.error()); }

}  // namespace

int run(const TransferOfferCommand& command) { return answer(offer(command)); }
int run(const TransferAcceptCommand& command) { return answer(accept(command)); }
int run(const TransferSubmitCommand& command) { return answer(submit(command)); }
int run(const BondCommand& command) { return answer(bond(command)); }

}  // namespace coshard::cli
