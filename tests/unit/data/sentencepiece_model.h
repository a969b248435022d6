// A small SentencePiece model, trained by the library itself.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sentencepiece_trainer.h>

#include "tests/unit/data/temp_folder.h"

namespace coshard::shard {

inline constexpr int kTrainedVocab = 300;

inline std::filesystem::path train_sentencepiece(const TempFolder& folder) {
  std::string text;
  for (int i = 0; i < 200; ++i)
    text += "the quick brown fox jumps over lazy dog number " + std::to_string(i * 7919) +
            "\nhow vexingly quick daft zebras jump\n";
  const auto corpus = folder.write("corpus.txt", text);
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      "--input=" + corpus.string() + " --model_prefix=" + (folder / "trained").string() +
      " --vocab_size=" + std::to_string(kTrainedVocab) +
      " --byte_fallback=true --model_type=bpe --minloglevel=2");
  EXPECT_TRUE(status.ok()) << status.ToString();
  return folder / "trained.model";
}

}  // namespace coshard::shard
