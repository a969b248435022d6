// See round_file.h: the data that a round file names.
// SPDX-License-Identifier: Apache-2.0
#include <system_error>

#include "node/round_file.h"
#include "shard/data/token_source.h"

namespace coshard::node {

std::filesystem::path manifest_path(const RoundFile& round, const std::filesystem::path& folder) {
  return (folder / round.data.manifest).lexically_normal();
}

Result<void> validate_against_disk(const RoundFile& round, const std::filesystem::path& folder) {
  const std::filesystem::path manifest = manifest_path(round, folder);
  std::error_code ec;
  if (!std::filesystem::is_regular_file(manifest, ec))
    return fail(ErrorCode::kNotFound, "data.manifest: expected a manifest at " + manifest.string() +
                                          ", found none; coshard data prepare writes one");
  const shard::TokenOrder order{round.training.seed, round.model.spec.sequence,
                                round.training.microbatches, round.training.microbatch_sequences,
                                round.model.spec.vocab};
  const auto source = shard::TokenSource::open(manifest, order);
  if (!source) return tl::unexpected<Error>(source.error().within("data.manifest"));
  return {};
}

}  // namespace coshard::node
