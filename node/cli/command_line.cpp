// See command_line.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/command_line.h"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <charconv>
#include <climits>

#include "node/cli/grammar.h"
#include "node/cli/quantities.h"
#include "node/toml_reader.h"
#include "protocol/base/limits.h"
#include "shard/plan/spec.h"

namespace coshard::cli {

namespace {

std::string found(const std::string& text) { return ", found \"" + text + "\""; }

}  // namespace

CLI::Validator whole_number(std::uint64_t min, std::uint64_t max) {
  const auto check = [min, max](const std::string& text) -> std::string {
    std::uint64_t value = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error == std::errc() && stop == end && value >= min && value <= max) return {};
    return "expected a whole number from " + std::to_string(min) + " to " + std::to_string(max) +
           found(text);
  };
  return CLI::Validator(check, "NUMBER");
}

CLI::Validator one_of(std::vector<std::string> choices) {
  const auto check = [choices](const std::string& text) -> std::string {
    if (std::ranges::find(choices, text) != choices.end()) return {};
    const std::vector<std::string_view> views(choices.begin(), choices.end());
    return "expected " + node::list_choices(views) + found(text);
  };
  std::string names;
  for (const std::string& choice : choices) names += (names.empty() ? "" : "|") + choice;
  return CLI::Validator(check, names);
}

void json_flag(CLI::App* app, bool& out) {
  app->add_flag("--json", out, "print one JSON object instead of text");
}

namespace {

void ledger_flags(CLI::App* app, LedgerFlags& flags) {
  app->add_option("--ledger", flags.ledger,
                  "folder or URL of the public log (default: `ledger` of the configuration file)");
  app->add_option("--vkey", flags.vkey,
                  "the log's public key, if you know it (default: the ledger's own log.vkey)");
  app->add_option("--policy", flags.policy,
                  "policy file (c2sp.org/tlog-policy): believe only what its quorum of witnesses "
                  "has cosigned");
  json_flag(app, flags.json);
}

void index_flags(CLI::App* app, IndexFlags& flags) {
  CLI::Option* none = app->add_flag("--no-index", flags.none,
                                    "verify the whole log again instead of what is new in it");
  app->add_option("--index", flags.folder,
                  "folder of your verified indexes (default: ~/.cache/coshard/index)")
      ->excludes(none);
  app->add_option("--at", flags.at, "the state when the log had this many entries");
}

void disturbances(CLI::App* app, DemoCommand& flags, Disturbance::Kind kind, const char* name,
                  const char* description) {
  const auto check = [kind](const std::string& text) -> std::string {
    const auto parsed = parse_disturbance(kind, text);
    return parsed ? "" : parsed.error().message;
  };
  const auto add = [&flags, kind](const std::vector<std::string>& texts) {
    for (const std::string& text : texts)
      flags.disturbances.push_back(*parse_disturbance(kind, text));
  };
  app->add_option_function<std::vector<std::string>>(name, add, description)
      ->check(CLI::Validator(check, kind == Disturbance::Kind::kJoin
                                        ? "STAGE:REPLICA@STEP"
                                        : "STAGE:REPLICA@STEP or coordinator@STEP"));
}

std::vector<std::string> presets() {
  const auto names = shard::preset_names();
  return {names.begin(), names.end()};
}

}  // namespace

CLI::App* Grammar::add(CLI::App& parent, const std::string& name, const std::string& description,
                       const std::string& example) {
  CLI::App* app = parent.add_subcommand(name, description);
  if (!example.empty()) app->footer("Example:\n" + example);
  return app;
}

Grammar::Grammar() {
  root_.require_subcommand(1);
  root_.set_version_flag("--version", std::string("coshard " COSHARD_VERSION));
  root_.footer(
      "Try:\n  coshard demo\nEvery command has its own --help. Defaults may be written down in\n"
      "~/.config/coshard/config.toml: ledger, rounds, node.");
  add_demo();
  add_keygen();
  add_data();
  add_round();
  add_round_control();
  add_round_export();
  add_simulate();
  add_status();
  add_ledger_queries();
  add_revenue();
  add_payout();
  add_transfer();
  add_bond();
  add_key();
  add_ledger();
  add_govern();
}

void Grammar::add_demo() {
  CLI::App* app = add(
      root_, "demo", "train a model on this machine with a coordinator and stages x replicas nodes",
      "  coshard demo\n  coshard demo --stages 4 --replicas 1 --steps 50 --data book.txt\n"
      "  coshard demo --kill 1:0@20 --freeze 0:1@60\n"
      "  coshard demo --kill 1:0@20 --join 1:0@30 --join 0:2@40");
  auto& flags = selects<DemoCommand>(app);
  app->add_option("--stages", flags.stages, "pipeline stages")
      ->capture_default_str()
      ->check(whole_number(1, limits::kStagesMax));
  app->add_option("--replicas", flags.replicas, "nodes per stage")
      ->capture_default_str()
      ->check(whole_number(1, limits::kReplicasMax));
  app->add_option("--steps", flags.steps, "optimizer updates (default: about two minutes' worth)")
      ->check(whole_number(1, limits::kStepsMax));
  app->add_option("--data", flags.data,
                  "text files, plain or gzip (default: the GCIDE dictionary)");
  app->add_option("--preset", flags.preset, "size of the model")
      ->capture_default_str()
      ->check(one_of(presets()));
  app->add_option("--device", flags.device, "cpu, cuda or auto")
      ->capture_default_str()
      ->check(one_of({"cpu", "cuda", "auto"}));
  CLI::Option* round =
      app->add_option("--round", flags.round, "train this round file instead (see deploy/rounds)");
  for (const char* other : {"--stages", "--replicas", "--steps", "--data", "--preset"})
    round->excludes(app->get_option(other));
  app->add_option("--dir", flags.dir, "where everything is kept")->capture_default_str();
  disturbances(app, flags, Disturbance::Kind::kKill, "--kill",
               "kill a node, or the coordinator, as soon as that step is committed");
  disturbances(app, flags, Disturbance::Kind::kFreeze, "--freeze",
               "stop it there, and wake it some seconds later");
  disturbances(app, flags, Disturbance::Kind::kJoin, "--join",
               "start another node there; it sits where the round lacks nodes most");
  json_flag(app, flags.json);
}

void Grammar::add_keygen() {
  CLI::App* app =
      add(root_, "keygen", "make the keys of a participant: one file that owns an account",
          "  coshard keygen --out ~/coshard.key\n"
          "  coshard keygen --out node.key --passphrase-fd 3 3< passphrase.txt\n"
          "  coshard keygen --root me.key --out box.key\n"
          "  coshard keygen --witness witness.example.org --out witness.key");
  auto& flags = selects<KeygenCommand>(app);
  app->add_option("--out", flags.out, "the file to write; never overwritten")
      ->capture_default_str();
  CLI::Option* none =
      app->add_flag("--no-passphrase", flags.no_passphrase, "leave the file unprotected");
  app->add_option("--passphrase-fd", flags.passphrase_fd,
                  "read the passphrase from this file descriptor instead of the terminal")
      ->check(whole_number(0, INT_MAX))
      ->excludes(none);
  CLI::Option* witness =
      app->add_option("--witness", flags.witness,
                      "make the key of a witness of that name instead (for coshard-witness)");
  CLI::Option* root = app->add_option("--root", flags.root,
                                      "make a box's keys instead, certified by the owner's root "
                                      "in this key file and without it: a box that is stolen "
                                      "can move nothing")
                          ->excludes(witness);
  app->add_option("--root-passphrase-fd", flags.root_passphrase_fd,
                  "read the passphrase of that file from this file descriptor (read first)")
      ->check(whole_number(0, INT_MAX))
      ->needs(root);
  json_flag(app, flags.json);
}

void Grammar::add_data() {
  CLI::App* data = add(root_, "data", "token shards to train on", "");
  data->require_subcommand(1);
  CLI::App* app = add(*data, "prepare", "make token shards and their manifest from text files",
                      "  coshard data prepare --tokenizer bytes --out data book.txt news.txt.gz");
  auto& flags = selects<PrepareCommand>(app);
  app->add_option("--tokenizer", flags.tokenizer, "\"bytes\", or a SentencePiece .model file")
      ->required();
  app->add_option("--out", flags.out, "folder for the shards and manifest.json")->required();
  app->add_option("inputs", flags.inputs, "text files, plain or gzip; one document each")
      ->required();
  json_flag(app, flags.json);
}

void Grammar::add_round() {
  CLI::App* round = add(root_, "round", "launch a round and look after it", "");
  round->require_subcommand(1);
  CLI::App* launch = add(*round, "launch", "check a round file and start its coordinator",
                         "  coshard round launch round.toml\n"
                         "  coshard round launch round.toml --listen tcp://0.0.0.0:4600 "
                         "--advertise train.example.org:4600");
  auto& start = selects<LaunchCommand>(launch);
  launch->add_option("file", start.file, "the round file (design: deploy/rounds)")->required();
  launch->add_option("--dir", start.dir, "folder of the round (default: <rounds>/<model name>)");
  launch->add_option("--listen", start.listen, "where nodes connect to")->capture_default_str();
  launch->add_option("--advertise", start.advertise, "HOST:PORT that nodes shall use instead");
  launch->add_option("--http", start.http, "HOST:PORT of status, metrics and the public log")
      ->capture_default_str();
  launch->add_option("--ledger-store", start.ledger_store,
                     "where the ledger is kept: sqlite (default) or "
                     "postgresql://USER@HOST/DATABASE");
  launch->add_option("--witnesses", start.witnesses,
                     "policy file (c2sp.org/tlog-policy) of witnesses with URLs: a quorum cosigns "
                     "every checkpoint before it is published");
  json_flag(launch, start.json);

  CLI::App* list = add(*round, "list", "rounds that were launched here", "  coshard round list");
  json_flag(list, selects<RoundListCommand>(list).json);

  CLI::App* status = add(*round, "status", "where a round stands", "  coshard round status gcide");
  auto& look = selects<RoundStatusCommand>(status);
  status->add_option("id", look.id, kId)->required();
  json_flag(status, look.json);

  CLI::App* watch = add(*round, "watch", "the same, live, until the round ends or Ctrl-C",
                        "  coshard round watch http://train.example.org:4601");
  auto& follow = selects<RoundWatchCommand>(watch);
  watch->add_option("id", follow.id, kId)->required();
  watch->add_flag("--json", follow.json, "print one JSON object per change");
}

void Grammar::add_round_control() {
  CLI::App* round = root_.get_subcommand("round");
  for (const auto& [verb, description] :
       {std::pair{"pause", "open no new step until resumed"},
        std::pair{"resume", "go on, or start a stopped coordinator again"},
        std::pair{"finish", "make the open step the last one"}}) {
    CLI::App* app =
        add(*round, verb, description, std::string("  coshard round ") + verb + " gcide");
    auto& flags = selects<RoundControlCommand>(app);
    flags.verb = verb;
    app->add_option("id", flags.id, kId)->required();
    app->add_option("--token", flags.token, "file of the control token, when the id is an URL");
  }
}

void Grammar::add_round_export() {
  CLI::App* round = root_.get_subcommand("round");
  CLI::App* app = add(*round, "export", "assemble the model of an open round, or recut it",
                      "  coshard round export gcide --format hf --out gcide-hf\n"
                      "  coshard round export gcide --format shards --for wider.toml --out wider");
  auto& flags = selects<RoundExportCommand>(app);
  app->add_option("id", flags.id, kId)->required();
  app->add_option("--format", flags.format,
                  "hf: a Hugging Face LLaMA directory; shards: the beginning of another round")
      ->capture_default_str()
      ->check(one_of({"hf", "shards"}));
  app->add_option("--for", flags.next,
                  "the round file of that round: any cut, any number of replicas");
  app->add_option("--step", flags.step, "the checkpoint of that step (default: the last)")
      ->check(whole_number(1, limits::kStepsMax));
  app->add_option("--out", flags.out, "the folder to write")->required();
  app->add_option("--checkpoints", flags.checkpoints,
                  "folders with the stages' checkpoints (default: checkpoints in the round's; "
                  "what is not there is asked of the nodes that hold it)");
  app->add_option("--token", flags.token, "file of the control token, when the id is an URL");
  app->add_option("--round", flags.round,
                  "the round file (default: round.toml in the round's folder)");
  app->add_flag("--bf16", flags.bf16, "round the weights to bf16 (default: fp32)");
  json_flag(app, flags.json);
}

namespace {

/// An option whose text `parse` turns into a number.
CLI::Option* quantity(CLI::App* app, const char* name, double& out, const char* description,
                      const char* example, Result<double> (*parse)(std::string_view)) {
  const auto check = [parse](const std::string& text) -> std::string {
    const auto parsed = parse(text);
    return parsed ? "" : parsed.error().message;
  };
  const auto take = [&out, parse](const std::string& text) { out = *parse(text); };
  return app->add_option_function<std::string>(name, take, description)
      ->check(CLI::Validator(check, example));
}

}  // namespace

void Grammar::add_simulate() {
  CLI::App* app = add(root_, "simulate",
                      "what to expect of a round with these boxes, before anybody starts one",
                      "  coshard simulate round.toml --peers 20 --churn 5%/h --uplink 50mbit\n"
                      "  coshard simulate round.toml --tflops 40 --spread 0.3 --json");
  auto& flags = selects<SimulateCommand>(app);
  app->add_option("file", flags.file, "the round file (see deploy/rounds)")->required();
  app->add_option("--peers", flags.peers, "boxes (default: stages x replicas of the round file)")
      ->check(whole_number(1, limits::kPeersMax));
  quantity(app, "--churn", flags.losses_per_hour, "boxes that go without a word (default: none)",
           "PERCENT/h", parse_churn);
  quantity(app, "--uplink", flags.uplink, "each box's line to the others (default: no limit)",
           "50mbit", parse_bit_rate);
  quantity(app, "--downlink", flags.downlink, "and from the others (default: no limit)", "50mbit",
           parse_bit_rate);
  quantity(app, "--latency", flags.latency_seconds, "one way (default: 30ms)", "30ms",
           parse_latency);
  quantity(app, "--tflops", flags.tflops, "what the median box sustains (default: 10)", "NUMBER",
           parse_positive);
  quantity(app, "--spread", flags.spread,
           "standard deviation of the logarithm of a box's speed (default: 0, all alike)", "NUMBER",
           parse_spread);
  app->add_option("--seed", flags.seed, "of everything that is left to chance")
      ->capture_default_str()
      ->check(whole_number(0, ~std::uint64_t{0}));
  quantity(app, "--hours", flags.hours, "of the round's time, at most (default: 1)", "NUMBER",
           parse_positive);
  json_flag(app, flags.json);
}

void Grammar::add_status() {
  CLI::App* app = add(root_, "status", "what this box's node is doing and earns",
                      "  coshard status\n  coshard status --dir node-1");
  auto& flags = selects<NodeStatusCommand>(app);
  app->add_option("--dir", flags.dir, "the node's folder (default: `node` of the configuration)");
  app->add_flag("--offline", flags.offline, "do not ask the public ledger for this node's credits");
  json_flag(app, flags.json);
}

void Grammar::add_ledger_queries() {
  CLI::App* owners = add(root_, "ownership", "who owns a model: units, pending units, shares",
                         "  coshard ownership gcide --ledger coshard-demo/ledger");
  auto& ownership = selects<OwnershipCommand>(owners);
  owners->add_option("model", ownership.model, "the model's name")->required();
  owners->add_option("--distributor", ownership.distributor,
                     "write posted units as a Merkle tree in the format of the npm package "
                     "@openzeppelin/merkle-tree (bytes32 account, uint256 units)");
  ledger_flags(owners, ownership.flags);
  index_flags(owners, ownership.index);

  CLI::App* units = add(root_, "balance", "what an account owns of each model",
                        "  coshard balance 3fa1… --ledger coshard-demo/ledger");
  auto& balance = selects<BalanceCommand>(units);
  units->add_option("account", balance.account, "account id, or its first digits")->required();
  units->add_option("--proof", balance.proof,
                    "write a proof of the balance at the last snapshot, to be checked without the "
                    "ledger (coshard verify --proof FILE)");
  ledger_flags(units, balance.flags);
  index_flags(units, balance.index);

  CLI::App* events = add(root_, "statement", "every ledger event of an account, with log indices",
                         "  coshard statement 3fa1… --ledger coshard-demo/ledger");
  auto& statement = selects<StatementCommand>(events);
  events->add_option("account", statement.account, "account id, or its first digits")->required();
  ledger_flags(events, statement.flags);
  index_flags(events, statement.index);
  events->add_option("--from", statement.from, "the first log index to show");
  events->add_option("--last", statement.last, "show only so many entries, the last ones");

  add_proofs();
}

void Grammar::add_proofs() {
  CLI::App* make =
      add(root_, "proof", "a file that proves an entry without the ledger",
          "  coshard proof --index 42 --ledger coshard-demo/ledger --out entry.tlog-proof");
  auto& proof = selects<ProofCommand>(make);
  make->add_option("--index", proof.index, "the entry's index (see coshard statement)")->required();
  make->add_option("--out", proof.out, "the file to write")->capture_default_str();
  ledger_flags(make, proof.flags);

  CLI::App* follow = add(root_, "monitor", "follow a ledger and verify all of it as it grows",
                         "  coshard monitor http://coordinator:8080 --policy witnesses");
  auto& monitor = selects<MonitorCommand>(follow);
  ledger_flags(follow, monitor.flags);
  follow->add_option("url", monitor.flags.ledger, "the ledger's folder or URL, as --ledger");
  index_flags(follow, monitor.index);
  follow->add_option("--interval", monitor.seconds, "seconds between two looks (default: 10)")
      ->check(CLI::Range(1, 86'400));
  follow->add_flag("--once", monitor.once, "look once");

  CLI::App* check =
      add(root_, "verify", "recompute everything from the log; fails if anything is off",
          "  coshard verify --ledger coshard-demo/ledger\n"
          "  coshard verify --ledger https://train.example.org --policy witnesses.policy --seen "
          "last.checkpoint\n"
          "  coshard verify --proof entry.tlog-proof --policy witnesses.policy\n"
          "  coshard verify --evidence fork.txt");
  auto& verify = selects<VerifyCommand>(check);
  check->add_option("--account", verify.account, "also prove this account's balance");
  CLI::Option* evidence = check->add_option(
      "--evidence", verify.evidence,
      "a file that says a log has forked: explain it and check it (exit 0: it holds)");
  CLI::Option* file = check->add_option("--proof", verify.proof,
                                        "a .tlog-proof file: check it without a ledger (with "
                                        "--policy or --vkey)");
  file->excludes(evidence);
  check->add_option("--entry", verify.entry, "the entry's bytes (default: those in the proof)")
      ->needs(file);
  check
      ->add_option("--seen", verify.seen,
                   "file with the last checkpoint seen: a ledger that does not continue it is "
                   "refused, with evidence; renewed when it does")
      ->excludes(evidence)
      ->excludes(file);
  ledger_flags(check, verify.flags);
}

/// The command that was being given when parsing stopped.
const CLI::App* Grammar::innermost() const {
  const CLI::App* app = &root_;
  while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
  return app;
}

namespace {

std::string full_name(const CLI::App& app) {
  const CLI::App* parent = app.get_parent();
  return parent == nullptr ? app.get_name() : full_name(*parent) + " " + app.get_name();
}

/// A word that no rule of `app` took: what was expected instead, and what was probably meant.
std::string unexpected_word(const CLI::App& app, const std::string& text) {
  const std::string word = text.substr(0, text.find('='));
  const bool is_flag = word.starts_with('-');
  std::vector<std::string> names;
  if (is_flag) {
    for (const CLI::Option* option : app.get_options())
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  } else {
    for (const CLI::App* below : app.get_subcommands([](const CLI::App*) { return true; }))
      names.push_back(below->get_name());
  }
  std::string what = is_flag         ? "expected a known flag"
                     : names.empty() ? "expected no further argument"
                                     : "expected a command";
  what += found(word);
  const std::vector<std::string_view> views(names.begin(), names.end());
  if (const auto near = node::nearest_name(word, views))
    what += "; did you mean \"" + std::string(*near) + "\"?";
  return what;
}

/// The first word that was left over, flags first: what follows an unknown flag is its value.
std::optional<std::string> left_over(const CLI::App& root) {
  const auto words = root.remaining(/*recurse=*/true);
  if (words.empty()) return std::nullopt;
  const auto flag = std::ranges::find_if(words, [](const auto& w) { return w.starts_with("-"); });
  return flag != words.end() ? *flag : words.front();
}

std::string one_line(std::string text) {
  for (char& c : text) c = c == '\n' ? ' ' : c;
  return text;
}

}  // namespace

Result<std::optional<Command>> Grammar::parse(int argc, const char* const* argv) {
  try {
    root_.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      root_.exit(error);  // prints help or the version
      return std::nullopt;
    }
    const CLI::App* app = innermost();
    const auto word = left_over(root_);
    return fail(ErrorCode::kInvalidArgument,
                (word ? unexpected_word(*app, *word) : one_line(error.what())) + "; see " +
                    full_name(*app) + " --help");
  }
  for (Entry& entry : entries_) {
    if (entry.app->parsed()) return std::move(entry.command);
  }
  return std::nullopt;
}

Result<std::optional<Command>> parse_command_line(int argc, const char* const* argv) {
  return Grammar().parse(argc, argv);
}

}  // namespace coshard::cli
