// Hugging Face directories: export from stages, import by name, and both ends of Hugging Face's own
// libraries
// (hf_check.py) where they are installed.
// SPDX-License-Identifier: Apache-2.0
#include "shard/checkpoint/hf_llama.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>

#include "shard/checkpoint/float_convert.h"
#include "shard/checkpoint/hf_tokenizer.h"
#include "shard/data/json.h"
#include "tests/unit/data/stage_fixture.h"

namespace coshard::shard {
namespace {

using ::testing::HasSubstr;

/// Three stages of the small model; returns their files, last first.
std::vector<std::filesystem::path> write_stages(const TempFolder& folder) {
  std::vector<std::filesystem::path> files;
  for (std::uint32_t s = 3; s-- > 0;) {
    files.push_back(folder / ("stage-" + std::to_string(s)));
    write_stage(files.back(), stage_info(s, s + 1, s));
  }
  return files;
}

std::vector<float> weights(const ParameterSpec& parameter) {
  return state_values(parameter, StateKind::kWeight);
}

TEST(HfLlama, AnExportIsReadBackTensorByTensor) {
  const TempFolder folder;
  const auto report =
      export_hf_llama({.stage_files = write_stages(folder), .out = folder / "hf"}).value();
  EXPECT_EQ(report.model, small_model());
  EXPECT_EQ(report.step, StepId(7));
  HfLlamaDirectory directory = HfLlamaDirectory::open(folder / "hf").value();
  EXPECT_EQ(directory.model(), small_model());
  std::uint64_t elements = 0;
  for (const ParameterSpec& parameter : parameters(small_model(), whole_model(small_model()))) {
    std::vector<float> found(parameter.elements);
    ASSERT_TRUE(directory.read(parameter, 0, found));
    EXPECT_EQ(found, weights(parameter)) << parameter.name;
    elements += parameter.elements;
  }
  EXPECT_EQ(report.parameters, elements);
  EXPECT_EQ(SafetensorsFile::open(folder / "hf/model.safetensors").value().hash().value(),
            report.weights);
}

TEST(HfLlama, Bf16ExportsRoundEachWeight) {
  const TempFolder folder;
  ASSERT_TRUE(
      export_hf_llama({.stage_files = write_stages(folder), .out = folder / "hf", .bf16 = true}));
  HfLlamaDirectory directory = HfLlamaDirectory::open(folder / "hf").value();
  const auto list = parameters(small_model(), {0, 1, true, false});
  std::vector<float> found(list[0].elements);
  ASSERT_TRUE(directory.read(list[0], 0, found));
  const auto expected = weights(list[0]);
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_EQ(found[i], float_of_bf16(bf16_of_float(expected[i])));
  EXPECT_THAT(read_text(folder / "hf/config.json"), HasSubstr("\"bfloat16\""));
}

TEST(HfLlama, AnIncompleteSetOfStagesIsNamed) {
  const TempFolder folder;
  auto files = write_stages(folder);
  const auto message = [&](std::vector<std::filesystem::path> stages) {
    const auto report = export_hf_llama({.stage_files = std::move(stages), .out = folder / "hf"});
    EXPECT_FALSE(std::filesystem::exists(folder / "hf/config.json"));
    return report ? std::string("exported") : report.error().message;
  };
  EXPECT_THAT(message({}), HasSubstr("found none"));
  EXPECT_THAT(message({files[0], files[2]}), HasSubstr("begins at layer 1"));
  EXPECT_THAT(message({files[1], files[2]}), HasSubstr("end at layer 2 of 3"));
  EXPECT_THAT(message({files[0], files[1]}), HasSubstr("begins at layer 0"));
  EXPECT_THAT(message({files[0], files[0], files[1], files[2]}), HasSubstr("begins at layer 3"));
  write_stage(files[1], stage_info(1, 2, 1, 8));
  EXPECT_THAT(message(files), HasSubstr("expected step 7"));
  EXPECT_THAT(message({folder / "none"}), HasSubstr("none"));
}

/// The whole model in two files with an index, the head left out when `tied`.
void write_sharded(const TempFolder& folder, bool tied) {
  const ModelSpec model = small_model();
  Json::Object weight_map;
  std::vector<TensorSource> files[2];
  for (const ParameterSpec& parameter : parameters(model, whole_model(model))) {
    if (tied && parameter.name == "lm_head.weight") continue;
    const int file = parameter.global_index < 10 ? 0 : 1;
    weight_map.emplace_back(parameter.name, "part-" + std::to_string(file) + ".safetensors");
    files[file].push_back(
        {parameter.name, StorageType::kF32, parameter.shape, [parameter](const ByteSink& sink) {
           const auto values = weights(parameter);
           return sink({reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * 4});
         }});
  }
  for (int file = 0; file < 2; ++file)
    ASSERT_TRUE(write_safetensors(folder / ("part-" + std::to_string(file) + ".safetensors"),
                                  files[file], {{"format", "pt"}}));
  folder.write("model.safetensors.index.json",
               Json(Json::Object{{"metadata", Json::Object{}}, {"weight_map", weight_map}}).text());
  std::string config = hf_config_text(model, "float32", std::nullopt);
  const std::string from = "\"tie_word_embeddings\": false";
  if (tied) config.replace(config.find(from), from.size(), "\"tie_word_embeddings\": true");
  folder.write("config.json", config);
}

TEST(HfLlama, ANodeOpensTheFilesOfItsOwnTensorsAlone) {
  const TempFolder folder;
  write_sharded(folder, false);
  std::filesystem::remove(folder / "part-0.safetensors");
  HfLlamaDirectory directory = HfLlamaDirectory::open(folder.path()).value();
  EXPECT_TRUE(directory.files_opened().empty());
  for (const ParameterSpec& parameter : parameters(small_model(), {1, 3, false, true})) {
    std::vector<float> found(parameter.elements);
    ASSERT_TRUE(directory.read(parameter, 0, found));
    EXPECT_EQ(found, weights(parameter));
  }
  EXPECT_THAT(directory.files_opened(), ::testing::ElementsAre("part-1.safetensors"));
}

TEST(HfLlama, ATiedHeadIsACopyOfTheEmbedding) {
  const TempFolder folder;
  write_sharded(folder, true);
  HfLlamaDirectory directory = HfLlamaDirectory::open(folder.path()).value();
  const auto list = parameters(small_model(), whole_model(small_model()));
  std::vector<float> head(list.back().elements);
  ASSERT_TRUE(directory.read(list.back(), 0, head));
  EXPECT_EQ(head, weights(list.front()));
}

TEST(HfConfig, SaysWhatIsNotSupported) {
  const std::string good = hf_config_text(small_model(), "float32", std::nullopt);
  EXPECT_EQ(parse_hf_config(good).value().model, small_model());
  const auto message = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    const auto config = parse_hf_config(text);
    return config ? std::string("accepted") : config.error().message;
  };
  EXPECT_THAT(message("\"model_type\": \"llama\"", "\"model_type\": \"gpt2\""),
              HasSubstr("\"model_type\": expected \"llama\", found \"gpt2\""));
  EXPECT_THAT(message("\"silu\"", "\"gelu\""), HasSubstr("hidden_act"));
  EXPECT_THAT(message("\"rope_scaling\": null", "\"rope_scaling\": {\"rope_type\": \"llama3\"}"),
              HasSubstr("unscaled rotary"));
  EXPECT_THAT(message("\"rope_scaling\": null", "\"rope_parameters\": {\"rope_type\": \"yarn\"}"),
              HasSubstr("unscaled rotary"));
  EXPECT_THAT(message("\"attention_bias\": false", "\"attention_bias\": true"),
              HasSubstr("attention_bias"));
  EXPECT_THAT(message("\"mlp_bias\": false", "\"mlp_bias\": true"), HasSubstr("mlp_bias"));
  EXPECT_THAT(message("\"head_dim\": 4", "\"head_dim\": 8"), HasSubstr("head_dim"));
  EXPECT_THAT(message("\"hidden_size\": 16", "\"hidden_size\": 18"), HasSubstr("heads"));
  EXPECT_THAT(message("\"use_cache\": true", "\"quantization_config\": {}"),
              HasSubstr("quantization"));
  EXPECT_FALSE(parse_hf_config("{"));
}

TEST(HfConfig, TakesBothPlacesOfRopeTheta) {
  std::string text = hf_config_text(small_model(), "float32", std::nullopt);
  const std::string from = "\"rope_theta\": 50000.0";
  text.replace(text.find(from), from.size(),
               "\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 12345}");
  EXPECT_EQ(parse_hf_config(text).value().model.rope_theta, 12345.0);
}

TEST(HfIndex, NamesStayInsideTheDirectory) {
  for (const char* name : {"\"../x\"", "\"/etc/x\"", "\"\"", "\".hidden\"", "7"})
    EXPECT_FALSE(parse_hf_index(std::string("{\"weight_map\":{\"t\":") + name + "}}")) << name;
  EXPECT_FALSE(parse_hf_index("{\"weight_map\":{}}"));
  EXPECT_TRUE(parse_hf_index("{\"weight_map\":{\"t\":\"x\"}}"));
}

/// Exit status of hf_check.py, or nothing when there is no Python to run it.
std::optional<int> hf_check(const std::string& mode, const std::filesystem::path& folder) {
  const char* python = std::getenv("COSHARD_PYTHON");
  if (python == nullptr || !std::filesystem::exists(python)) return std::nullopt;
  const std::string command =
      std::string(python) + " " COSHARD_HF_CHECK " " + mode + " " + folder.string();
  return WEXITSTATUS(std::system(command.c_str()));
}

#define SKIP_WITHOUT_LIBRARIES(status)                                          \
  if (!(status)) GTEST_SKIP() << "COSHARD_PYTHON is not set or does not exist"; \
  if (*(status) == 77) GTEST_SKIP() << "numpy, safetensors or transformers is missing";

TEST(HfPeers, TheirLibrariesReadOurExport) {
  const TempFolder folder;
  const auto tokenizer = make_byte_tokenizer();
  ASSERT_TRUE(export_hf_llama(
      {.stage_files = write_stages(folder), .out = folder / "hf", .tokenizer = tokenizer.get()}));
  const ModelSpec model = small_model();
  Json::Object tensors;
  for (const ParameterSpec& parameter : parameters(model, whole_model(model))) {
    Json::Array shape;
    for (const std::int64_t dimension : parameter.shape) shape.emplace_back(dimension);
    const auto values = weights(parameter);
    tensors.emplace_back(parameter.name,
                         Json::Array{shape, double{values.front()}, double{values.back()}});
  }
  const Json expected = Json::Object{{"tensors", tensors},
                                     {"kv_heads", model.kv_heads},
                                     {"vocab", model.vocab},
                                     {"rope_theta", model.rope_theta}};
  folder.write("hf/expected.json", expected.text());
  const auto status = hf_check("read", folder / "hf");
  SKIP_WITHOUT_LIBRARIES(status);
  EXPECT_EQ(*status, 0);
}

TEST(HfPeers, WeReadTheirSafetensors) {
  const TempFolder folder;
  const auto status = hf_check("write", folder.path());
  SKIP_WITHOUT_LIBRARIES(status);
  ASSERT_EQ(*status, 0);
  const SafetensorsFile file = SafetensorsFile::open(folder / "python.safetensors").value();
  EXPECT_EQ(file.metadata().at("made"), "by numpy");
  std::vector<float> values(6);
  ASSERT_TRUE(file.read_floats(*file.find("f32").value(), 0, values));
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(values[i], static_cast<float>(i) / 7);
  values.resize(5);
  ASSERT_TRUE(file.read_floats(*file.find("f16").value(), 0, values));
  EXPECT_EQ(values, (std::vector<float>{0.0999755859375F, -2.5F, 65504.0F, 0x1p-24F, 0.0F}));
  EXPECT_EQ(file.find("nothing").value()->elements(), 0U);
  EXPECT_EQ(file.find("scalar").value()->shape, Shape{});
  EXPECT_FALSE(file.read_floats(*file.find("i64").value(), 0, std::span(values).first(2)));
}

}  // namespace
}  // namespace coshard::shard
