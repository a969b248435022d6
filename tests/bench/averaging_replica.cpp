// One replica as coshard-node runs it: the participant's machine, stage runner, tensor store,
// engine thread, courier, envelopes, ZeroMQ with CURVE. Stand-ins are the coordinator, whose words
// come from a script in the same process, and the model: its gradient is a flat vector, which the
// engine's own arithmetic adds, so that nobody needs libtorch to measure the network.
// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <map>

#include "crypto/hash.h"
#include "node/courier.h"
#include "node/daemon/stage_runner.h"
#include "protocol/base/check.h"
#include "protocol/transport/zmq_transport.h"
#include "shard/data/file.h"
#include "shard/data/manifest.h"
#include "shard/numeric/reduce.h"
#include "shard/numeric/squared_norm.h"
#include "tests/bench/averaging_bench.h"

namespace coshard::bench {
namespace {

using node::Courier;

/// The gradient of this process, set before the engine is made.
const Job* engine_job = nullptr;

/// Element i of replica `rank`'s sum: small integers, so that every order of adding is exact.
float gradient_of(std::uint32_t rank, std::uint64_t i) {
  return static_cast<float>(rank + 1 + i % 7);
}

std::span<const float> floats(const SharedBytes& bytes) {
  return {reinterpret_cast<const float*>(bytes->data()), bytes->size() / sizeof(float)};
}

/// Averages as shard/engine does, with the same copies; computes nothing else.
class FlatEngine final : public shard::StageEngine {
 public:
  explicit FlatEngine(const Job& job) : sum_(job.elements), average_(job.elements) {
    for (std::uint64_t i = 0; i < sum_.size(); ++i) sum_[i] = gradient_of(job.rank, i);
    shard::ParameterSpec whole;
    whole.elements = job.elements;
    layout_ = shard::gradient_layout({&whole, 1});
  }

  const std::vector<shard::GradientChunk>& layout() const override { return layout_; }
  Result<TensorBlob> forward(MicrobatchIndex, const shard::StageInput&) override { return none(); }
  Result<TensorBlob> forward_only(const shard::StageInput&) override { return none(); }
  Result<shard::LossResult> forward_loss(MicrobatchIndex, const shard::StageInput&,
                                         const shard::TokenBatch&, shard::Accumulate) override {
    return shard::LossResult{};
  }
  Result<TensorBlob> backward(MicrobatchIndex, const TensorBlob&, shard::Accumulate) override {
    return none();
  }
  void drop_stash(MicrobatchIndex) override {}
  Result<TensorBlob> logits(const shard::StageInput&) override { return none(); }

  Result<SharedBytes> gradient_chunk(ChunkIndex chunk) override { return copy(sum_, chunk); }
  Result<shard::AveragedChunk> reduce_chunk(ChunkIndex chunk,
                                            std::span<const SharedBytes> contributions,
                                            float inv_tokens) override {
    std::vector<std::span<const float>> addends;
    for (const SharedBytes& contribution : contributions) addends.push_back(floats(contribution));
    shard::sum_in_order(at(average_, chunk), addends, inv_tokens);
    return shard::AveragedChunk{copy(average_, chunk), shard::squared_norm(at(average_, chunk))};
  }
  Result<double> set_average(ChunkIndex chunk, const SharedBytes& average) override {
    std::memcpy(at(average_, chunk).data(), average->data(), average->size());
    return shard::squared_norm(at(average_, chunk));
  }
  Result<shard::StepReport> apply_update(const CommitScalars&) override {
    check_average();
    return shard::StepReport{};
  }
  void abort_step() override {}
  Result<shard::StageSnapshot> snapshot(StepId) override { return none(); }
  Result<StepId> load(const std::filesystem::path&) override { return none(); }
  Result<void> load_hugging_face(const std::filesystem::path&) override { return none(); }
  Result<TensorBlob> parameter(std::string_view) override { return none(); }
  Result<TensorBlob> gradient(std::string_view) override { return none(); }
  Result<Fingerprint> fingerprint(const std::array<std::uint8_t, 16>&) override {
    return Fingerprint{};
  }
  shard::MemoryBytes memory_bytes() const override { return {}; }

 private:
  static tl::unexpected<Error> none() {
    return fail(ErrorCode::kInternal, "the benchmark's engine only averages");
  }
  std::span<float> at(std::vector<float>& flat, ChunkIndex chunk) const {
    const shard::GradientChunk& range = layout_.at(chunk.value);
    return std::span(flat).subspan(range.offset, range.count);
  }
  SharedBytes copy(std::vector<float>& flat, ChunkIndex chunk) const {
    const auto bytes = std::as_bytes(at(flat, chunk));
    const auto* begin = reinterpret_cast<const std::uint8_t*>(bytes.data());
    return share(Bytes(begin, begin + bytes.size()));
  }
  void check_average() const {
    const float scale = 1.0F / static_cast<float>(engine_job->world);
    for (std::uint64_t i = 0; i < average_.size(); ++i) {
      float sum = 0;
      for (std::uint32_t rank = 0; rank < engine_job->world; ++rank) sum += gradient_of(rank, i);
      COSHARD_CHECK_OP(average_[i], ==, sum * scale);
    }
  }

  std::vector<float> sum_, average_;
  std::vector<shard::GradientChunk> layout_;
};

/// A folder for what a stage needs on disk; goes with the process's end.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "averaging-XXXXXX").string();
    COSHARD_CHECK(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

constexpr std::int64_t kVocab = 64;
constexpr std::uint64_t kTokens = 4096;

std::string round_text(std::uint32_t world) {
  const std::string replicas = std::to_string(world);
  return "[model]\nname = \"averaging\"\nhidden = 32\nlayers = 2\nheads = 2\nkv_heads = 2\n"
         "ffn_hidden = 64\nvocab = 64\nsequence = 16\nstages = 1\nweights = \"open\"\n"
         "[data]\nmanifest = \"manifest.json\"\n"
         "[training]\nsteps = 1000\nmicrobatches = " +
         replicas +
         "\nmicrobatch_sequences = 1\nprecision = \"fp32\"\nseed = 3\n"
         "optimizer = { name = \"adamw\", lr = 1e-2, betas = [0.9, 0.95], eps = 1e-8, "
         "weight_decay = 0.1, clip_norm = 1.0, warmup = 2, schedule = \"cosine\" }\n"
         "[boundary]\ncompression = \"none\"\n"
         "[ownership]\nunits = 1_000_000_000_000\nemission = \"constant\"\n"
         "split = { compute = 10000, data = 0, design = 0, treasury = 0 }\n"
         "[admission]\nmode = \"open\"\nreplicas = " +
         replicas + "\n[ledger]\ndomain = \"coshard.local\"\nepoch_steps = 1000\n";
}

/// Writes one shard of zeros and returns the manifest that names it.
std::string write_tokens(const std::filesystem::path& folder) {
  const Bytes tokens(kTokens * 2, 0);
  COSHARD_CHECK(shard::write_atomically(folder / "tokens.bin", tokens).has_value());
  shard::Manifest manifest;
  manifest.tokenizer.id = "bytes";
  manifest.tokenizer.sha256 = crypto::sha256(as_bytes("bytes"));
  manifest.vocab = kVocab;
  manifest.shards.push_back({"tokens.bin", kTokens, crypto::sha256(tokens)});
  return shard::manifest_text(manifest);
}

class Replica {
 public:
  explicit Replica(const Job& job);
  ~Replica() { engine_.close(); }
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  void connect();
  /// Up to the moment at which the stage's book closes.
  void prepare(StepId step);
  void average(StepId step);
  void commit(StepId step);

 private:
  node::StageSite site() const;
  node::RunnerPorts ports();
  round::ParticipantConfig config() const;
  void on_message(const NodeId& from, wire::Opened opened);
  void obey(Message word) { handle(round::Received{coordinator_, std::move(word), {}}); }
  void handle(round::ParticipantEvent event);
  void drain();
  template <class Action>
  void run(const Action& action) {
    runner_.run(action);
  }
  void run(const round::SendMessage& action) {
    said_.insert_or_assign(wire::kind_of(action.message), action.message);
  }
  void run(const round::FetchState&) {}
  void run(const round::SealShard&) {}
  void run(const round::KeepShard&) {}
  void run(const round::RestoreShard&) {}
  void run(const round::UseTable&) {}
  void run(const round::SettleEpoch&) {}
  void run(const round::PeerFault& fault) { give_up(fault.reason); }
  void run(const round::Ended& end) { give_up(end.text); }
  static void give_up(const std::string& why) {
    std::fprintf(stderr, "averaging_bench: %s\n", why.c_str());
    std::_Exit(1);
  }
  /// Turns the loop until the machine says this to its coordinator.
  template <class Said>
  Said await() {
    const wire::MessageKind kind = wire::kind_of(Message(Said{}));
    while (!said_.contains(kind)) reactor_.run_once(std::chrono::milliseconds(100));
    const Said said = std::get<Said>(said_.at(kind));
    said_.erase(kind);
    return said;
  }
  StageClosed book(StepId step) const;

  const Job& job_;
  const NodeId coordinator_{{1}};
  Scratch scratch_;
  SystemClock clock_;
  transport::Reactor reactor_{clock_};
  std::unique_ptr<transport::Transport> transport_;
  std::unique_ptr<Courier> courier_;
  node::EngineThread engine_;
  node::StageRunner runner_;
  round::Participant machine_;
  std::deque<round::ParticipantEvent> events_;
  std::map<wire::MessageKind, Message> said_;
  bool executing_ = false;
};

Replica::Replica(const Job& job)
    : job_(job),
      engine_([this] {
        COSHARD_CHECK(reactor_.post([this] {
          runner_.turn();
          drain();
        }));
      }),
      runner_(engine_, site(), ports()),
      machine_(config()) {
  transport_ =
      transport::make_zmq_transport(reactor_, job.self(), {.listen = "tcp://127.0.0.1:*"}).value();
  courier_ = std::make_unique<Courier>(
      *transport_, job.self(), clock_,
      node::CourierHandlers{
          [this](const NodeId& from, wire::Opened opened) { on_message(from, std::move(opened)); },
          [](const NodeId&, const std::string& reason) { give_up(reason); },
          [](const transport::PeerEvent&) {}});
  courier_->speak_as(NetworkId{{2}}, Incarnation(1), Generation(1));
}

node::StageSite Replica::site() const {
  node::StageSite site;
  site.directory = site.data = scratch_.path();
  return site;
}

node::RunnerPorts Replica::ports() {
  node::RunnerPorts ports;
  ports.self = job_.self().node();
  ports.post = [this](round::ParticipantEvent event) { events_.push_back(std::move(event)); };
  ports.send = [this](const NodeId& to, const Message& message,
                      std::span<const wire::Payload> payloads) {
    return courier_->send(to, message, payloads);
  };
  ports.updated = [](StepId, const Fingerprint&) {};
  return ports;
}

round::ParticipantConfig Replica::config() const {
  round::ParticipantConfig config;
  config.self = job_.self().node();
  config.coordinator = coordinator_;
  return config;
}

void Replica::connect() {
  transport_->endpoint().copy(job_.board->endpoint(job_.rank, job_.rank).data(), 63);
  job_.board->meet();
  MembershipTable table{MembershipEpoch(1), {}};
  for (std::uint32_t rank = 0; rank < job_.world; ++rank) {
    const crypto::Identity& peer = (*job_.identities)[rank];
    table.members.push_back(
        {peer.node(), StageIndex(0), ReplicaIndex(rank), Incarnation(1), "", {}});
    if (rank == job_.rank) continue;
    const crypto::CurveKey& key = peer.curve().public_key();
    courier_->admit({.node = peer.node(),
                     .curve_public = key,
                     .incarnation = Incarnation(1),
                     .generation_min = std::nullopt});
    const std::string endpoint = job_.board->endpoint(rank, rank).data();
    if (rank > job_.rank)
      COSHARD_CHECK(transport_->connect({peer.node(), endpoint, key}).has_value());
  }
  for (const Member& member : table.members)
    while (member.node != job_.self().node() && !transport_->connected(member.node))
      reactor_.run_once(std::chrono::milliseconds(10));

  engine_job = &job_;
  engine_.start();
  runner_.set_package({round_text(job_.world), {}, write_tokens(scratch_.path())});
  machine_.start(clock_.now());
  obey(Welcome{StageIndex(0), ReplicaIndex(job_.rank), Incarnation(1), MembershipEpoch(1),
               StepId(0), Hash{}});
  obey(table);
  await<UpdateReport>();
}

StageClosed Replica::book(StepId step) const {
  StageClosed closed{step, StageIndex(0), Attempt(0), job_.world, {}, {}};
  for (std::uint32_t rank = 0; rank < job_.world; ++rank) {
    closed.contributions.push_back({(*job_.identities)[rank].node(), {MicrobatchIndex(rank)}});
    closed.reducers.push_back((*job_.identities)[rank].node());
  }
  return closed;
}

void Replica::prepare(StepId step) {
  obey(StepOpen{step, MembershipEpoch(1)});
  const auto pull = await<MicrobatchPull>();
  obey(MicrobatchGrant{step, pull.request, {{MicrobatchIndex(job_.rank), Attempt(0)}}});
  await<UnitReport>();
  obey(UnitAck{step, StageIndex(0), {MicrobatchIndex(job_.rank)}});
}

void Replica::average(StepId step) {
  obey(book(step));
  await<AverageReport>();
}

void Replica::commit(StepId step) {
  Commit commit;
  commit.scalars.step = step;
  obey(commit);
  await<UpdateReport>();
}

void Replica::on_message(const NodeId& from, wire::Opened opened) {
  const Message message = opened.message;
  runner_.set_incoming(from, &message, &opened.payloads);
  handle(round::Received{from, std::move(opened.message), {}});
  runner_.set_incoming(from, nullptr, nullptr);
}

void Replica::handle(round::ParticipantEvent event) {
  events_.push_back(std::move(event));
  drain();
}

void Replica::drain() {
  if (std::exchange(executing_, true)) return;
  while (!events_.empty()) {
    const round::ParticipantEvent next = std::move(events_.front());
    events_.pop_front();
    for (const round::ParticipantAction& action : machine_.on(next, clock_.now()))
      std::visit([this](const auto& known) { run(known); }, action);
  }
  executing_ = false;
}

}  // namespace

Measured run_replica(const Job& job) {
  Replica replica(job);
  replica.connect();
  StepClock clock(job);
  for (StepId step(1); step.value <= job.warmup + job.steps; step = step.next()) {
    replica.prepare(step);
    clock.begin();
    replica.average(step);
    clock.end();
    clock.settle();
    replica.commit(step);
  }
  job.board->meet();  // who leaves first ends the others' connections
  return clock.measured();
}

}  // namespace coshard::bench

/// Instead of shard/engine's, which needs libtorch.
coshard::Result<std::unique_ptr<coshard::shard::StageEngine>> coshard::shard::make_stage_engine(
    const StageConfig&) {
  return std::make_unique<bench::FlatEngine>(*bench::engine_job);
}
