// A transfer of units on its way from owner to buyer to ledger: one small file that each signs in
// turn. What the parties read is made from the bytes that they sign, never from the file's words.
// Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "ledger/entry.h"

namespace coshard::cli {

struct OfferFile {
  NetworkId network;
  std::string model;
  ledger::SignedBody body;
  bool operator==(const OfferFile&) const = default;
};

/// What an offer says, signatures checked.
struct Offer {
  OfferFile file;
  ledger::Body body;
  ledger::UnitTransfer transfer;
};

std::string to_json(const OfferFile& file);

/// kInvalidArgument for anything but an offer to this ledger, kPermissionDenied when a signature is
/// false.
Result<Offer> parse_offer(std::string_view text, const NetworkId& network);

/// In plain words, one line per fact.
std::string describe(const Offer& offer, const std::string& currency, std::uint64_t log_size);

}  // namespace coshard::cli
