// See round_owners.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/round_owners.h"

#include "node/cli/http_client.h"

namespace coshard::cli {
namespace {

constexpr int kUnauthorised = 401;
constexpr int kForbidden = 403;

constexpr const char* kOtherwise =
    "; collect the stages' checkpoints (NODE/checkpoints) and name their folders with "
    "--checkpoints, or start the round again with coshard round resume";

Result<void> ask_to_read(const std::string& url, const std::string& token,
                         const crypto::NodeCertificate& certificate) {
  COSHARD_ASSIGN(const HttpAnswer answer,
                 http_post(url, "/readers", token, to_hex(certificate.encode())));
  if (answer.status / 100 == 2) return {};
  if (answer.status == kUnauthorised)
    return fail(ErrorCode::kPermissionDenied, url + ": the control token is not the coordinator's");
  return fail(answer.status == kForbidden ? ErrorCode::kPermissionDenied : ErrorCode::kUnavailable,
              url + "/readers: expected to be let in, found status " +
                  std::to_string(answer.status) + ": " + answer.body);
}

/// A node as the coordinator describes it, if its certificate holds.
std::optional<transport::PeerAddress> address_of(const node::RoundStatus::Node& node) {
  const auto bytes = from_hex(node.certificate);
  if (!bytes) return std::nullopt;
  const auto certificate = crypto::NodeCertificate::decode(*bytes);
  if (!certificate || !certificate->verify() || certificate->node().hex() != node.node)
    return std::nullopt;
  return transport::PeerAddress{certificate->node(), node.endpoint, certificate->curve_public};
}

}  // namespace

Result<RoundOwners> RoundOwners::find(const RoundHandle& round,
                                      const std::optional<std::filesystem::path>& token,
                                      const NetworkId& network) {
  const auto status = ask_status(round.url);
  if (!status)
    return fail(
        ErrorCode::kFailedPrecondition,
        "its owners cannot be asked, since no coordinator runs at " + round.url + kOtherwise);
  if (status->has_ended() || status->state == "ending")
    return fail(ErrorCode::kFailedPrecondition,
                "its owners cannot be asked, since the round has ended" + std::string(kOtherwise));
  COSHARD_ASSIGN(const std::string control, read_token(round, token));
  COSHARD_ASSIGN(auto download,
                 StateDownload::open(
                     network, [url = round.url, control](const crypto::NodeCertificate& reader) {
                       return ask_to_read(url, control, reader);
                     }));
  return RoundOwners(round.url, std::move(download));
}

Result<void> RoundOwners::copy_state(const node::RoundFile& round, StepId step,
                                     const ledger::ShardHash& shard,
                                     const std::filesystem::path& file) {
  const std::string stage = "stage " + std::to_string(shard.stage.value);
  if (shard.stage.value >= round.model.stages())
    return fail(ErrorCode::kCorruption, "the ledger names " + stage + ", the round file has " +
                                            std::to_string(round.model.stages()) + " stages");
  COSHARD_ASSIGN(const node::RoundStatus status, ask_status(url_));
  StateSource source{step, shard.stage, shard.sha256, 0, {}};
  // Weights and two moments in fp32, behind a header.
  constexpr std::uint64_t kBytesPerParameter = 12;
  source.bytes_max =
      limits::kSafetensorsHeaderBytesMax +
      kBytesPerParameter *
          shard::parameter_count(round.model.spec, round.model.slices[shard.stage.value]);
  for (const node::RoundStatus::Node& node : status.nodes)
    if (const auto address = address_of(node); address && node.stage == shard.stage.value)
      source.holders.push_back(*address);
  if (source.holders.empty())
    return fail(ErrorCode::kUnavailable, url_ + ": nobody holds " + stage + " now");
  return download_->fetch(source, file);
}

}  // namespace coshard::cli
