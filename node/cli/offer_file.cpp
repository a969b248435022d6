// See offer_file.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/offer_file.h"

#include <nlohmann/json.hpp>

#include "node/amount.h"
#include "node/progress.h"

namespace coshard::cli {
namespace {

tl::unexpected<Error> bad(const std::string& what) {
  return fail(ErrorCode::kInvalidArgument, what + "; expected a file of coshard transfer offer");
}

}  // namespace

std::string to_json(const OfferFile& file) {
  const nlohmann::ordered_json json{{"coshard", "transfer"},
                                    {"model", file.model},
                                    {"network", file.network.hex()},
                                    {"entry", to_hex(ledger::encode(file.body))}};
  return json.dump(2) + "\n";
}

Result<Offer> parse_offer(std::string_view text, const NetworkId& network) {
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto member = [&](const char* key) -> std::string {
    const bool has = json.is_object() && json.contains(key) && json[key].is_string();
    return has ? json[key].get<std::string>() : "";
  };
  if (member("coshard") != "transfer") return bad("this is no transfer");
  if (member("network") != network.hex())
    return bad("the offer is of another ledger (" + member("model") + ", network " +
               member("network").substr(0, 8) + ")");
  const auto bytes = from_hex(member("entry"));
  if (!bytes) return bad("its entry is damaged");
  const auto body = ledger::decode<ledger::SignedBody>(*bytes);
  if (!body) return bad("its entry is damaged");
  COSHARD_ASSIGN(const ledger::Body parsed, ledger::decode_body(body->body));
  const auto* transfer = std::get_if<ledger::UnitTransfer>(&parsed.leaf);
  if (transfer == nullptr) return bad("its entry is no transfer");
  COSHARD_TRY(ledger::verify_signatures(parsed.author, network, body->body, body->signatures));
  return Offer{{network, member("model"), *body}, parsed, *transfer};
}

std::string describe(const Offer& offer, const std::string& currency, std::uint64_t log_size) {
  const ledger::UnitTransfer& transfer = offer.transfer;
  std::string out = "model      " + offer.file.model + "\nfrom       " + transfer.from.hex() +
                    "\nto         " + transfer.to.hex() + "\nunits      " +
                    node::render_count(transfer.units) + "\nprice      " +
                    (transfer.price == 0 ? "nothing, it is a gift"
                                         : node::format_amount(transfer.price) + " " + currency +
                                               " for all of them, paid outside of the ledger") +
                    "\n";
  if (transfer.expires.value > 0)
    out += "ends       before entry " + std::to_string(transfer.expires.value) + " (the log has " +
           std::to_string(log_size) + ")\n";
  if (!transfer.reference.empty()) out += "reference  " + transfer.reference + "\n";
  const std::size_t signatures = offer.file.body.signatures.size();
  out += "signed by  " +
         std::string(signatures > 1 ? "the owner and the buyer" : "the owner alone") + "\n";
  out += "What the units earned before the transfer stays with the owner.\n";
  return out;
}

}  // namespace coshard::cli
