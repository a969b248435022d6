// A round file is believed only whole: one table row per rule, with the line that is named.
// SPDX-License-Identifier: Apache-2.0
#include "node/round_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coshard::node {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// Line numbers matter to the tests below: line 1 is "[model]".
constexpr std::string_view kValid =
    R"([model]
name = "gcide-10m"
preset = "tiny"
stages = 2
weights = "open"
[data]
manifest = "data/manifest.json"
[training]
steps = 200
microbatches = 8
microbatch_sequences = 8
optimizer = { name = "adamw", lr = 1e-3, betas = [0.9, 0.95], )"
    R"(eps = 1e-8, weight_decay = 0.1, clip_norm = 1.0, )"
    R"(warmup = 20, schedule = "cosine" }
precision = "auto"
seed = 1
[boundary]
compression = "none"
[ownership]
units = 1_000_000_000_000
emission = "constant"
split = { compute = 8000, data = 1500, design = 500, treasury = 0 }
data = [ { account = ")"
    "00000000000000000000000000000000000000000000000000000000000000aa"
    R"(", basis_points = 10000 } ]
design = [ { account = ")"
    "00000000000000000000000000000000000000000000000000000000000000bb"
    R"(", basis_points = 10000 } ]
[admission]
mode = "open"
[ledger]
domain = "coshard.local"
)";

std::string with(std::string_view from, std::string_view to) {
  std::string text(kValid);
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(RoundFile, ReadsWhatTheDesignShows) {
  const auto round = parse_round(kValid, "round.toml");
  ASSERT_TRUE(round) << round.error().message;
  EXPECT_EQ(round->model.name, "gcide-10m");
  EXPECT_EQ(round->model.spec, *shard::preset("tiny"));
  EXPECT_EQ(round->model.stages(), 2U);
  EXPECT_EQ(round->model.slices.back().last_layer, 4);
  EXPECT_EQ(round->training.steps, 200U);
  EXPECT_EQ(round->training.optimizer.warmup, 20U);
  EXPECT_EQ(round->training.optimizer.beta2, 0.95);
  EXPECT_EQ(round->tokens_per_step(), 8U * 8 * 128);
  EXPECT_EQ(round->ownership.units, 1'000'000'000'000U);
  EXPECT_EQ(round->ownership.data_recipients.at(0).account.hex().substr(62), "aa");
  EXPECT_EQ(round->ledger.epoch_steps, 20U);
  EXPECT_TRUE(round->admission.open);
}

TEST(RoundFile, MoneyAndItsRulesHaveDefaultsAndAreRead) {
  const auto plain = parse_round(kValid, "round.toml");
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->ownership.currency, "USD");
  EXPECT_EQ(plain->ownership.recovery_days, 14U);
  const std::string key(63, '0');
  const auto round =
      parse_round(with("[admission]",
                       "currency = \"EUR\"\nminimum_payout = \"5.5\"\nbond_epochs = 3\n"
                       "vesting_epochs = { data = 7 }\ngovernors = [\"" +
                           key + "2\", \"" + key + "1\"]\nbuyer_signs = true\n[admission]"),
                  "round.toml");
  ASSERT_TRUE(round) << round.error().message;
  EXPECT_EQ(round->ownership.currency, "EUR");
  EXPECT_EQ(round->ownership.minimum_payout, 5'500'000U);
  EXPECT_EQ(round->ownership.vesting_epochs[1], 7U);
  EXPECT_EQ(round->ownership.governors.front().hex().back(), '1');
  EXPECT_EQ(round->ownership.governors_needed, 2U) << "all, unless the file says otherwise";
  EXPECT_TRUE(round->ownership.buyer_signs);
  EXPECT_EQ(parse_round(to_toml(*round), "round.toml"), *round);
  for (const char* wrong : {"currency = \"dollars\"", "minimum_payout = \"1e3\"",
                            "governors = [\"12\"]", "governors_needed = 1"})
    EXPECT_FALSE(parse_round(with("[admission]", std::string(wrong) + "\n[admission]"), "r"))
        << wrong;
}

TEST(RoundFile, ExplicitSizesOverrideThePresetAndStagesMayBeAList) {
  const auto round = parse_round(with("stages = 2", "stages = [1, 3]\nvocab = 32000"), "r");
  ASSERT_TRUE(round) << round.error().message;
  EXPECT_EQ(round->model.spec.vocab, 32'000);
  EXPECT_EQ(round->model.spec.hidden, 128);
  EXPECT_EQ(round->model.slices.at(0).layers(), 1);
  EXPECT_EQ(round->model.slices.at(1).layers(), 3);
}

std::string beginning(std::string_view step, std::string_view shards) {
  return "[beginning]\nnetwork = \"" + std::string(64, 'c') + "\"\nstep = " + std::string(step) +
         "\nshards = " + std::string(shards) + "\n[ledger]\n";
}

std::string shard(char digit) {
  return "{ sha256 = \"" + std::string(64, digit) + "\", bytes = 4711 }";
}

TEST(RoundFile, ABeginningNamesACheckpointOfAnotherRound) {
  const std::string two = "[" + shard('a') + ", " + shard('b') + "]";
  const auto round = parse_round(with("[ledger]\n", beginning("40", two)), "r");
  ASSERT_TRUE(round) << round.error().message;
  ASSERT_TRUE(round->beginning);
  EXPECT_EQ(round->beginning->step.value, 40U);
  EXPECT_EQ(round->beginning->network.hex(), std::string(64, 'c'));
  ASSERT_EQ(round->beginning->shards.size(), 2U);
  EXPECT_EQ(to_hex(round->beginning->shards[1].sha256), std::string(64, 'b'));
  EXPECT_EQ(round->beginning->shards[1].bytes, 4711U);
  const auto again = parse_round(to_toml(*round), "again");
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *round);
  const auto refused = [&](const std::string& text) {
    const auto bad = parse_round(with("[ledger]\n", text), "r");
    return bad ? std::string("accepted") : bad.error().message;
  };
  EXPECT_EQ(refused(beginning("200", two)),
            "r:27: beginning.step: expected a step before training.steps, which is 200, found 200");
  EXPECT_THAT(refused(beginning("0", two)), StartsWith("r:27: beginning.step: expected"));
  EXPECT_EQ(refused(beginning("40", "[" + shard('a') + "]")),
            "r:28: beginning.shards: expected a list of { sha256, bytes }, one for each of 2 "
            "stages, found 1");
  EXPECT_THAT(refused(beginning("40", "[" + shard('a') + ", 3]")), HasSubstr("found 3"));
  EXPECT_THAT(refused(beginning("40", "[" + shard('a') + ", " + shard('x') + "]")),
              HasSubstr("beginning.shards.sha256: expected a SHA-256 of 64 hexadecimal digits"));
}

TEST(RoundFile, WritingAndReadingGivesTheSameRound) {
  const std::string variants[] = {
      std::string(kValid),
      with("stages = 2", "stages = [1, 2, 1]"),
      with("weights = \"open\"", "weights = \"protected\""),
      with("emission = \"constant\"", "emission = { half_life = 50 }"),
      with("manifest = \"data/manifest.json\"", R"(manifest = "a \"quoted\"\n\u0001 füll\\path")"),
      with("lr = 1e-3", "lr = 0.0003333333333333333"),
      with("mode = \"open\"", "replicas = 3\nallow = [\"" + std::string(64, '7') + "\"]"),
      with("precision = \"auto\"",
           "precision = \"bf16\"\nschedule_order = \"gpipe\"\nrecompute = true\n"
           "checkpoint_epochs = 9"),
      with("schedule = \"cosine\"", "schedule = \"constant\""),
  };
  for (const std::string& text : variants) {
    const auto round = parse_round(text, "r");
    ASSERT_TRUE(round) << round.error().message;
    const auto again = parse_round(to_toml(*round), "again");
    ASSERT_TRUE(again) << again.error().message << "\n" << to_toml(*round);
    EXPECT_EQ(*again, *round) << to_toml(*round);
  }
}

struct BadLine {
  std::string_view from, to;  ///< replaced in kValid
  int line;
  std::string_view message;  ///< what follows "round.toml:LINE: "
};

class BadRoundFile : public ::testing::TestWithParam<BadLine> {};

TEST_P(BadRoundFile, IsRefusedInOneLineThatNamesTheLine) {
  const BadLine& bad = GetParam();
  const auto round = parse_round(with(bad.from, bad.to), "round.toml");
  ASSERT_FALSE(round) << "accepted " << bad.to;
  EXPECT_EQ(round.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(round.error().message, StartsWith("round.toml:" + std::to_string(bad.line) + ": "));
  EXPECT_THAT(round.error().message, HasSubstr(std::string(bad.message)));
  EXPECT_THAT(round.error().message, Not(HasSubstr("\n")));
}

const BadLine kBadModel[] = {
    {"[model]", "[modell]", 1,
     "modell: expected a known key, found \"modell\"; did you mean \"model\"?"},
    {"gcide-10m", "Gcide", 2, "model.name: expected a name of lower-case letters"},
    {"gcide-10m", "../x", 2, "found \"../x\""},
    {"gcide-10m", "", 2, "found \"\""},
    {"name = \"gcide-10m\"\n", "", 1, "model.name: expected a name"},
    {"\"tiny\"", "\"huge\"", 3, "model.preset: expected \"tiny\", "},
    {"preset = \"tiny\"", "hidden = 64", 1,
     "model.layers: expected an integer from 1 to 16777216, found nothing"},
    {"preset = \"tiny\"", "preset = \"tiny\"\nhidden = 0", 4,
     "model.hidden: expected an integer from 1"},
    {"preset = \"tiny\"", "preset = \"tiny\"\nhidden = 1.5", 4, "found 1.5"},
    {"preset = \"tiny\"", "preset = \"tiny\"\nheads = 3", 4,
     "model.heads: expected a divisor of hidden = 128, found 3"},
    {"preset = \"tiny\"", "preset = \"tiny\"\nkv_heads = 3", 4,
     "model.kv_heads: expected a divisor of heads"},
    {"preset = \"tiny\"", "preset = \"tiny\"\nheads = 128\nkv_heads = 128", 4,
     "model.heads: expected an even head width"},
    {"preset = \"tiny\"", "preset = \"tiny\"\nrope_theta = -1.0", 4,
     "model.rope_theta: expected a number over 0"},
    {"preset = \"tiny\"", "preset = \"tiny\"\nnorm_eps = nan", 4,
     "model.norm_eps: expected a number over 0"},
    {"stages = 2", "stages = 5", 4,
     "model.stages: expected 1 to 4 stages (each needs one of the model's 4 layers), found 5"},
    {"stages = 2", "stages = 0", 4, "found 0"},
    {"stages = 2", "stages = -1", 4, "found -1"},
    {"stages = 2\n", "", 1,
     "model.stages: expected a number of stages or a list of layers per stage, found nothing"},
    {"stages = 2", "stages = \"two\"", 4, "found \"two\""},
    {"stages = 2", "stages = [2, 3]", 4, "4 in all, found [2, 3]"},
    {"stages = 2", "stages = [4, 0]", 4, "found [4, 0]"},
    {"stages = 2", "stages = []", 4, "found []"},
    {"stages = 2", "stages = [2, \"2\"]", 4, "found [2, \"2\"]"},
    {"\"open\"", "\"secret\"", 5,
     "model.weights: expected \"open\" or \"protected\", found \"secret\""},
};
const BadLine kBadTraining[] = {
    {"[data]", "[dat]", 6, "did you mean \"data\"?"},
    {"manifest = \"data/manifest.json\"", "", 6,
     "data.manifest: expected the path of a manifest.json"},
    {"\"data/manifest.json\"", "\"\"", 7, "found \"\""},
    {"\"data/manifest.json\"", "7", 7, "found 7"},
    {"steps = 200\n", "", 8, "training.steps: expected an integer"},
    {"steps = 200", "steps = 0", 9, "training.steps"},
    {"steps = 200", "stepz = 200", 9, "did you mean \"steps\"?"},
    {"steps = 200", "steps = 2e2", 9, "found 200"},
    {"microbatches = 8", "microbatches = 513", 10,
     "training.microbatches: expected an integer from 1 to 512, found 513"},
    {"microbatch_sequences = 8", "microbatch_sequences = 4097", 11,
     "training.microbatch_sequences: expected at most 4096 sequences of 65536 bytes"},
    {"\"adamw\"", "\"sgd\"", 12, "training.optimizer.name: expected \"adamw\", found \"sgd\""},
    {"lr = 1e-3", "lr = 0", 12,
     "training.optimizer.lr: expected a number over 0 up to 10, found 0"},
    {"lr = 1e-3", "lr = 11", 12, "found 11"},
    {"lr = 1e-3", "lr = nan", 12, "training.optimizer.lr"},
    {"lr = 1e-3", "lr = \"fast\"", 12, "found \"fast\""},
    {"lr = 1e-3", "rate = 1e-3", 12, "training.optimizer.rate: expected a known key"},
    {"[0.9, 0.95]", "[0.9]", 12,
     "training.optimizer.betas: expected two numbers from 0 to under 1, found a list"},
    {"[0.9, 0.95]", "[0.9, 1.0]", 12, "training.optimizer.betas"},
    {"[0.9, 0.95]", "[0.9, \"x\"]", 12, "training.optimizer.betas"},
    {"eps = 1e-8", "eps = 0.0", 12, "training.optimizer.eps"},
    {"weight_decay = 0.1", "weight_decay = -0.1", 12, "training.optimizer.weight_decay"},
    {"clip_norm = 1.0", "clip_norm = inf", 12, "training.optimizer.clip_norm"},
    {"warmup = 20", "warmup = 201", 12,
     "training.optimizer.warmup: expected an integer from 0 to 200, found 201"},
    {"\"cosine\"", "\"linear\"", 12,
     "training.optimizer.schedule: expected \"constant\" or \"cosine\""},
    {"\"auto\"", "\"fp8\"", 13,
     "training.precision: expected \"auto\", \"fp32\" or \"bf16\", found \"fp8\""},
    {"seed = 1", "seed = -1", 14, "training.seed"},
    {"seed = 1", "schedule_order = \"chimera\"", 14, "training.schedule_order"},
    {"seed = 1", "checkpoint_epochs = 0", 14, "training.checkpoint_epochs"},
    {"seed = 1", "recompute = \"yes\"", 14,
     "training.recompute: expected true or false, found \"yes\""},
    {"\"none\"", "\"zip\"", 16, "boundary.compression: expected \"none\", found \"zip\""},
    {"compression = \"none\"", "compresion = \"none\"", 16, "did you mean \"compression\"?"},
};
const BadLine kBadRest[] = {
    {"1_000_000_000_000", "0", 18, "ownership.units"},
    {"emission = \"constant\"", "emission = \"linear\"", 19,
     "ownership.emission: expected \"constant\" or { half_life = steps }"},
    {"emission = \"constant\"", "emission = { half_life = 0 }", 19, "ownership.emission.half_life"},
    {"emission = \"constant\"", "emission = 3", 19, "found 3"},
    {"compute = 8000", "compute = 8001", 20,
     "ownership.split: expected basis points that sum to 10000, found 10001"},
    {"compute = 8000", "compute = -1", 20, "ownership.split.compute"},
    {"compute = 8000", "computer = 8000", 20, "did you mean \"compute\"?"},
    {"treasury = 0 }",
     "treasury = 0 }\ntreasury = [ { account = "
     "\"00000000000000000000000000000000000000000000000000000000000000cc\", basis_points = 10000 } "
     "]",
     21, "ownership.treasury: expected nothing, as split.treasury is 0"},
    {"design = [ { account = \"00000000000000000000000000000000000000000000000000000000000000bb\", "
     "basis_points = 10000 } ]\n",
     "", 17, "ownership.design: expected a list of { account, basis_points }"},
    {"aa\", basis_points = 10000", "aa\", basis_points = 9999", 21,
     "ownership.data: expected basis_points that sum to 10000, found 9999"},
    {"aa\", basis_points = 10000", "aa\", basis_points = 0", 21, "ownership.data[0].basis_points"},
    {"00aa\"", "00a\"", 21,
     "ownership.data[0].account: expected an account id of 64 hexadecimal digits"},
    {"00aa\", basis_points = 10000 }",
     "00aa\", basis_points = 5000 }, { account = "
     "\"00000000000000000000000000000000000000000000000000000000000000aa\", basis_points = 5000 }",
     21, "expected each account once"},
    {"mode = \"open\"", "mode = \"closed\"", 24,
     "admission.mode: expected \"open\", found \"closed\""},
    {"mode = \"open\"", "allow = []", 24, "admission.allow: expected 1 to 4096 node ids, found 0"},
    {"mode = \"open\"", "allow = [\"ABC\"]", 24, "found \"ABC\""},
    {"mode = \"open\"", "allow = [1]", 24, "found 1"},
    {"mode = \"open\"", "mode = \"open\"\nallow = [\"00\"]", 25,
     "admission.allow: expected either mode = \"open\" or a list, found both"},
    {"mode = \"open\"", "replicas = 0", 24, "admission.replicas"},
    {"mode = \"open\"", "replicas = 1025", 24, "found 1025"},
    {"coshard.local", "Coshard local", 26, "ledger.domain: expected a domain name"},
    {"domain = \"coshard.local\"", "epoch_steps = 0", 26, "ledger.epoch_steps"},
    {"domain = \"coshard.local\"", "domain = \"a\"\ndomain = \"b\"", 27, "not TOML: "},
    {"domain = \"coshard.local\"", "domain = 1979-05-27", 26, "found a date"},
    {"[ledger]", "[ledger", 25, "not TOML: "},
};

INSTANTIATE_TEST_SUITE_P(Model, BadRoundFile, ::testing::ValuesIn(kBadModel));
INSTANTIATE_TEST_SUITE_P(Training, BadRoundFile, ::testing::ValuesIn(kBadTraining));
INSTANTIATE_TEST_SUITE_P(Rest, BadRoundFile, ::testing::ValuesIn(kBadRest));

TEST(RoundFile, NamesASectionThatIsNoTable) {
  const auto round = parse_round("model = 3", "r");
  ASSERT_FALSE(round);
  EXPECT_EQ(round.error().message, "r:1: model: expected a table, found 3");
}

TEST(RoundFile, RefusesAFileOverTheLimitBeforeParsingIt) {
  const auto round = parse_round(std::string(limits::kRoundFileBytesMax + 1, '#'), "big.toml");
  ASSERT_FALSE(round);
  EXPECT_EQ(round.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(round.error().message, HasSubstr("big.toml: expected a round file of at most"));
}

TEST(RoundFile, TheExamplesThatWeShipAreRight) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(COSHARD_ROUNDS_DIR)) {
    const auto loaded = load_round(entry.path());
    EXPECT_TRUE(loaded) << loaded.error().message;
    ++files;
  }
  EXPECT_GE(files, 2);
}

TEST(RoundFile, NamesAMissingFile) {
  const auto loaded = load_round("/nowhere/round.toml");
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().message, "/nowhere/round.toml: expected a round file, found nothing");
}

}  // namespace
}  // namespace coshard::node
