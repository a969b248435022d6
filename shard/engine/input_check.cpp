// See input_check.h.
// SPDX-License-Identifier: Apache-2.0
#include "shard/engine/input_check.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"
#include "shard/model/cpu_kernels.h"

namespace coshard::shard {
namespace {

tl::unexpected<Error> refuse(std::string_view what, const std::string& why) {
  return fail(ErrorCode::kInvalidArgument, std::string(what) + ": " + why);
}

std::string show(const Shape& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + ")";
}

}  // namespace

Result<void> check_boundary(const ModelSpec& spec, const TensorBlob& blob, std::string_view what) {
  if (blob.dtype != DType::kF32 || blob.encoding != BoundaryEncoding::kNone)
    return refuse(what, "expected a decoded fp32 tensor, found dtype " +
                            std::to_string(static_cast<int>(blob.dtype)) + ", encoding " +
                            std::to_string(static_cast<int>(blob.encoding)));
  const Shape& shape = blob.shape;
  const bool fits = shape.size() == 3 && shape[0] >= 1 && shape[1] >= 1 &&
                    shape[1] <= spec.sequence && shape[2] == spec.hidden;
  if (!fits)
    return refuse(what, "expected shape (sequences, up to " + std::to_string(spec.sequence) +
                            " tokens, " + std::to_string(spec.hidden) + "), found " + show(shape));
  const auto bytes = dense_bytes(DType::kF32, shape);
  if (!bytes || *bytes != blob.view().size() || *bytes > limits::kPayloadBytesMax)
    return refuse(what, "expected the bytes of shape " + show(shape) + ", found " +
                            std::to_string(blob.view().size()));
  return check_values(blob.view(), what);
}

Result<void> check_tokens(const ModelSpec& spec, const TokenBatch& batch,
                          const std::vector<std::int32_t>& tokens, std::string_view what) {
  const bool fits = batch.sequences >= 1 && batch.length >= 1 && batch.length <= spec.sequence &&
                    static_cast<std::uint64_t>(batch.sequences) <= limits::kPayloadBytesMax &&
                    tokens.size() == static_cast<std::size_t>(batch.sequences * batch.length);
  if (!fits)
    return refuse(what, "expected sequences of 1 to " + std::to_string(spec.sequence) +
                            " tokens, found " + std::to_string(batch.sequences) + " of " +
                            std::to_string(batch.length) + " with " +
                            std::to_string(tokens.size()) + " tokens in all");
  const auto wrong = std::find_if(tokens.begin(), tokens.end(), [&](std::int32_t token) {
    return token < 0 || token >= spec.vocab;
  });
  if (wrong != tokens.end())
    return refuse(what, "expected tokens below " + std::to_string(spec.vocab) + ", found " +
                            std::to_string(*wrong));
  return {};
}

Result<void> check_values(ByteView fp32, std::string_view what) {
  COSHARD_CHECK_OP(fp32.size() % sizeof(float), ==, 0U);
  const auto* values = reinterpret_cast<const float*>(fp32.data());
  const auto count = static_cast<std::int64_t>(fp32.size() / sizeof(float));
  const double squares = static_cast<double>(cpu::magnitude_check(values, count));
  const double rms = std::sqrt(squares / static_cast<double>(std::max<std::int64_t>(count, 1)));
  if (!std::isfinite(rms)) return refuse(what, "unit is not finite");
  if (rms > limits::kBoundaryRmsMax)
    return refuse(what, "expected a root mean square up to " +
                            std::to_string(limits::kBoundaryRmsMax) + ", found " +
                            std::to_string(rms));
  return {};
}

}  // namespace coshard::shard
