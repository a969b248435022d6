// The bytes of a journal record: u8 version, u8 kind, then the fields in order, little-endian,
// floats as their bits, lists and texts after a u32 count. Private to one coordinator and its
// restarts;
// nobody else reads it. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/error.h"
#include "protocol/round/journal.h"

namespace coshard::node {

Bytes encode_record(const round::JournalRecord& record);

/// kCorruption saying what was expected and found: version, kind, length, enumerations.
Result<round::JournalRecord> decode_record(ByteView bytes);

/// All of them, or kCorruption naming the first that is wrong.
Result<std::vector<round::JournalRecord>> decode_records(std::span<const Bytes> records);

}  // namespace coshard::node
