// Opening the coordinator, step by step.
// SPDX-License-Identifier: Apache-2.0
#include "node/coordinator/context.h"

#include <unistd.h>

#include <fstream>
#include <future>
#include <nlohmann/json.hpp>

#include "crypto/hash.h"
#include "crypto/random.h"
#include "node/coordinator/journal_record.h"
#include "node/round_setup.h"
#include "protocol/base/log.h"
#include "shard/data/file.h"

namespace coshard::node {

namespace {

std::string resume_command(const CoordinatorOptions& options) {
  const std::string witnesses =
      options.witnesses.empty()
          ? ""
          : " --witnesses " + std::filesystem::absolute(options.witnesses).string();
  return "coshard-coordinator --round " + std::filesystem::absolute(options.round).string() +
         " --dir " + std::filesystem::absolute(options.directory).string() + " --listen " +
         options.listen + witnesses;
}

/// Keys of the parameter digests: from the secret seed, so that a restart draws the same ones.
std::uint64_t fingerprint_secret(const crypto::Identity& identity) {
  return get_le<std::uint64_t>(
      crypto::domain_hash("coshard/fingerprint-secret/v1", {identity.operating().seed()}));
}

/// Of this round, for the same reason: what is sealed now may be opened after a restart.
Hash seal_secret(const crypto::Identity& identity, const NetworkId& network) {
  return crypto::domain_hash("coshard/seal-secret/v1",
                             {identity.operating().seed(), network.view()});
}

Result<ledger::Policy> read_witnesses(const std::filesystem::path& file) {
  if (file.empty()) return ledger::Policy();
  COSHARD_ASSIGN(const Bytes text,
                 shard::read_whole(file, limits::kPolicyBytesMax, shard::Symlinks::kFollow));
  auto policy = ledger::Policy::parse(as_text(text));
  if (!policy) return tl::unexpected(policy.error().within(file.string()));
  return policy;
}

Result<void> open_ledger(CoordinatorContext& context, const LoadedRound& loaded,
                         crypto::Passphrase passphrase) {
  const CoordinatorOptions& options = context.options;
  COSHARD_ASSIGN(ledger::Policy policy, read_witnesses(options.witnesses));
  const auto publication =
      policy.needs_witnesses() ? ledger::Publication::kWhenCosigned : ledger::Publication::kAtOnce;
  COSHARD_ASSIGN(
      context.ledger_home,
      LedgerHome::open(options.directory, loaded.round, loaded.text, *context.identity, passphrase,
                       context.world.clock, publication, options.ledger_store));
  if (options.rotate_log_key) {
    COSHARD_ASSIGN(const LogIndex index,
                   context.ledger_home->rotate_log_key(options.directory, passphrase,
                                                       options.log_key_overlap));
    log(LogLevel::kInfo, "ledger",
        "a new log key signs from entry " + std::to_string(index.value) +
            " on; readers and witnesses find it in log.vkey");
  }
  context.ledger_thread = std::make_unique<LedgerThread>(*context.ledger_home, context.world.clock);
  if (!policy.needs_witnesses()) return {};
  auto carrier = std::make_unique<WitnessPool>(policy, [thread = context.ledger_thread.get()] {
    (void)thread->submit(LedgerTick{});  // a full queue has work that looks at the answers too
  });
  COSHARD_ASSIGN(ledger::WitnessDesk desk,
                 ledger::WitnessDesk::open(std::move(policy), context.ledger_home->note_key()));
  context.ledger_thread->set_witnesses(std::move(desk), std::move(carrier));
  return {};
}

Result<void> open_stores(CoordinatorContext& context, const LoadedRound& loaded) {
  const CoordinatorOptions& options = context.options;
  COSHARD_ASSIGN(const auto passphrase, read_passphrase(options.passphrase_fd));
  COSHARD_ASSIGN(crypto::Identity identity, open_identity(options.key, passphrase));
  context.identity = std::make_unique<crypto::Identity>(std::move(identity));
  COSHARD_ASSIGN(context.journal, Journal::open(options.directory / "journal.sqlite"));
  if (options.former_is_dead) COSHARD_TRY(context.journal->settle_here());
  if (context.journal->is_copy())
    log(LogLevel::kWarning, "coordinator",
        "this journal was copied from elsewhere: nobody is given up who may still obey a "
        "coordinator there; if none will ever run there again, start with --former-is-dead");
  COSHARD_TRY(open_ledger(context, loaded, as_passphrase(passphrase)));
  COSHARD_ASSIGN(context.progress, ProgressLog::open(loaded.round, options.directory));
  return {};
}

/// Somebody wants to copy the model. On a thread of HTTP.
Result<void> take_reader(CoordinatorContext& context, const std::string& certificate_hex) {
  const RoundFile& round = context.round.round;
  if (round.model.weights != Weights::kOpen)
    return fail(ErrorCode::kPermissionDenied,
                round.model.name +
                    " is protected: its weights are never assembled anywhere, so nobody may read "
                    "them");
  const auto bytes = from_hex(certificate_hex);
  if (!bytes) return fail(ErrorCode::kInvalidArgument, "expected a certificate in hexadecimal");
  COSHARD_ASSIGN(const auto certificate, crypto::NodeCertificate::decode(*bytes));
  if (const auto sound = certificate.verify(); !sound)
    return fail(ErrorCode::kInvalidArgument, sound.error().message);
  if (!context.reactor->post([&context, certificate] { context.net->name_reader(certificate); }))
    return fail(ErrorCode::kUnavailable, "the coordinator is about to stop");
  return {};
}

/// Somebody asks for an entry of the ledger. On a thread of HTTP, which waits for cs-ledger.
Result<std::string> take_submission(CoordinatorContext& context, const std::string& body) {
  using Answer = Result<LedgerSubmit::Answer>;
  const auto promise = std::make_shared<std::promise<Answer>>();  // outlives whoever answers late
  auto answer = promise->get_future();
  const auto done = [promise](const Answer& given) { promise->set_value(given); };
  if (!context.ledger_thread->submit(LedgerSubmit{to_bytes(as_bytes(body)), done}))
    return fail(ErrorCode::kUnavailable, "the coordinator is too busy, or about to stop");
  if (answer.wait_for(kSubmitTimeout) != std::future_status::ready)
    return fail(ErrorCode::kDeadlineExceeded,
                "the entry is not durable yet: ask again, it is not appended twice");
  COSHARD_ASSIGN(const LedgerSubmit::Answer given, answer.get());
  nlohmann::ordered_json json{{"indices", nlohmann::ordered_json::array()}, {"size", given.size}};
  for (const LogIndex index : given.indices) json["indices"].push_back(index.value);
  return json.dump() + "\n";
}

/// Where nodes were told to find this coordinator before, when it may listen anywhere: they dial it
/// there until it is back.
std::string former_endpoint(const CoordinatorOptions& options) {
  if (!options.listen.ends_with(":0") || !options.advertise.empty()) return options.listen;
  const auto invitation = read_invitation((options.directory / "invitation").string());
  return invitation ? invitation->coordinator.endpoint : options.listen;
}

/// The same for people and tools who follow the round: they ask at the address that they know.
std::string former_http(const CoordinatorOptions& options) {
  if (!options.http.ends_with(":0")) return options.http;
  std::ifstream in(options.directory / "coordinator.json", std::ios::binary);
  const auto json = nlohmann::json::parse(in, nullptr, /*allow_exceptions=*/false);
  const bool known = json.is_object() && json.contains("http") && json["http"].is_string();
  return known ? json["http"].get<std::string>() : options.http;
}

/// Where it was before, if that is free still.
Result<std::unique_ptr<HttpServer>> open_http(const CoordinatorOptions& options,
                                              HttpConfig config) {
  config.listen = former_http(options);
  auto server = HttpServer::start(config);
  if (server || config.listen == options.http) return server;
  config.listen = options.http;
  return HttpServer::start(std::move(config));
}

/// A round that goes on from another one's checkpoint writes that down first of all. On cs-net.
Result<void> write_beginning(CoordinatorContext& context) {
  const auto beginning = beginning_of(context.round.round);
  if (!beginning || !context.history.empty()) return {};
  context.history.push_back(*beginning);
  const Bytes record = encode_record(*beginning);
  return context.journal->append(std::span(&record, 1));
}

Result<void> open_sockets(CoordinatorContext& context) {
  const CoordinatorOptions& options = context.options;
  COSHARD_ASSIGN(const std::string listen, listen_endpoint(former_endpoint(options)));
  COSHARD_ASSIGN(context.transport, context.world.make_transport(
                                        *context.reactor, *context.identity,
                                        {.listen = listen,
                                         .admission = transport::Admission::kOpen,
                                         .payload_bytes_max = limits::kControlPayloadBytesMax}));
  const std::string token = to_hex(crypto::random_bytes(32));
  COSHARD_TRY(replace_file(options.directory / "control.token", token + "\n", 0600));
  const auto control = [&context](ControlCommand command) {
    return context.reactor->post([&context, command] {
      context.net->control(command == ControlCommand::kPause    ? round::ControlVerb::kPause
                           : command == ControlCommand::kResume ? round::ControlVerb::kResume
                                                                : round::ControlVerb::kFinish);
    });
  };
  const auto reader = [&context](const std::string& body) { return take_reader(context, body); };
  const auto submit = [&context](const std::string& body) {
    return take_submission(context, body);
  };
  COSHARD_ASSIGN(context.http, open_http(options, {.listen = options.http,
                                                   .ledger_root = options.directory / "ledger",
                                                   .control_token = token,
                                                   .control = control,
                                                   .reader = reader,
                                                   .submit = submit}));
  return {};
}

/// The HTTP address as others reach it: an address that means every interface of this box becomes
/// the host that is advertised to nodes.
std::string ledger_url(const CoordinatorContext& context) {
  const std::string& bound = context.http->address();
  const std::size_t colon = bound.rfind(':');
  if (bound.substr(0, colon) != "0.0.0.0") return "http://" + bound;
  constexpr std::string_view kScheme = "tcp://";
  const std::string endpoint =
      advertised_endpoint(context.transport->endpoint(), context.options.advertise);
  return "http://" + endpoint.substr(kScheme.size(), endpoint.rfind(':') - kScheme.size()) +
         bound.substr(colon);
}

/// What nodes, tools and people need to find this coordinator.
Result<void> announce(const CoordinatorContext& context, const CoordinatorSetup& setup) {
  const CoordinatorOptions& options = context.options;
  const std::string endpoint =
      advertised_endpoint(context.transport->endpoint(), options.advertise);
  const Invitation invitation{
      {context.identity->node(), endpoint, context.identity->curve().public_key()}, setup.network};
  COSHARD_TRY(replace_file(options.directory / "invitation", format_invitation(invitation) + "\n"));
  const nlohmann::json document = {{"pid", ::getpid()},
                                   {"endpoint", endpoint},
                                   {"http", context.http->address()},
                                   {"node_id", context.identity->node().hex()},
                                   {"curve_public", to_hex(context.identity->curve().public_key())},
                                   {"account_id", context.identity->account().hex()},
                                   {"network_id", setup.network.hex()},
                                   {"model", setup.round.model.name},
                                   {"generation", context.net->status().generation.value}};
  return replace_file(options.directory / "coordinator.json", document.dump(2) + "\n");
}

}  // namespace

Result<std::unique_ptr<CoordinatorContext>> open_coordinator(const CoordinatorOptions& options,
                                                             World world) {
  auto context = std::make_unique<CoordinatorContext>(options, std::move(world));
  context->resume_command = resume_command(options);
  context->reactor = std::make_unique<transport::Reactor>(context->world.clock);
  COSHARD_ASSIGN(context->round, load_round(options.round));
  const LoadedRound& loaded = context->round;
  COSHARD_TRY(validate_against_disk(loaded.round, loaded.folder));
  COSHARD_ASSIGN(const Bytes manifest,
                 shard::read_whole(manifest_path(loaded.round, loaded.folder),
                                   limits::kManifestBytesMax, shard::Symlinks::kFollow));
  context->manifest_text = as_text(manifest);
  COSHARD_TRY(open_stores(*context, loaded));
  if (const auto complaint = clock_complaint(context->world.clock.wall_ms(),
                                             founded_ms(context->ledger_home->genesis_entry())))
    log(LogLevel::kWarning, "coordinator", *complaint);
  COSHARD_ASSIGN(const std::vector<Bytes> records, context->journal->records());
  auto history = decode_records(records);
  if (!history)
    return tl::unexpected(
        history.error().within("journal " + (options.directory / "journal.sqlite").string()));
  context->history = std::move(*history);
  COSHARD_TRY(context->progress->catch_up(context->history));
  return context;
}

Result<void> open_network(CoordinatorContext& context) {
  COSHARD_TRY(write_beginning(context));
  COSHARD_TRY(open_sockets(context));
  const CoordinatorSetup setup{
      .round = context.round.round,
      .round_text = context.round.text,
      .manifest_text = context.manifest_text,
      .genesis_entry = context.ledger_home->genesis_entry(),
      .network = context.ledger_home->network(),
      .fingerprint_secret = fingerprint_secret(*context.identity),
      .seal_secret = seal_secret(*context.identity, context.ledger_home->network()),
      .journal_is_copy = context.journal->is_copy(),
      .roll_back = context.options.roll_back,
      .stage_patience = std::chrono::seconds(context.options.stage_patience),
      .move_patience = std::chrono::seconds(context.options.move_patience),
      .admission_patience = std::chrono::seconds(context.options.admission_patience),
      .directory = context.options.directory,
      .resume_command = context.resume_command,
      .ledger_url = ledger_url(context)};
  context.net = std::make_unique<CoordinatorNet>(
      setup,
      CoordinatorNet::Surroundings{*context.reactor, *context.transport, *context.identity,
                                   context.world.clock, *context.journal, *context.ledger_thread,
                                   *context.progress, context.http.get()},
      context.history);
  COSHARD_TRY(announce(context, setup));
  context.net->start();
  return {};
}

}  // namespace coshard::node
