// What a witness does with a checkpoint: cosigns it when it continues the last one that it
// cosigned, and nothing else, so that one log cannot show two histories. The judgement is pure;
// WitnessBook makes it durable before it is told. Text: c2sp.org/tlog-witness, FORMAT.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/evidence.h"
#include "ledger/files.h"
#include "ledger/store/store.h"

namespace coshard::ledger {

/// The body of POST add-checkpoint.
struct AddCheckpoint {
  std::uint64_t old_size = 0;
  std::vector<Hash> proof;  ///< consistency, from old_size to the checkpoint's size
  std::string note;

  std::string format() const;
  /// kInvalidArgument for anything that format() would not have written.
  static Result<AddCheckpoint> parse(std::string_view body);
};

struct WitnessAnswer {
  int status = 0;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};
inline constexpr std::string_view kSizeContentType = "text/x.tlog.size";
/// The size that a 409 tells; nothing for another body.
std::optional<std::uint64_t> parse_size_body(std::string_view body);

/// Who the witness is and for which logs it answers. A log may have several keys, for the time in
/// which it changes from one to the next.
struct WitnessSetup {
  std::string name;
  const crypto::KeyPair* key = nullptr;
  std::map<std::string, std::vector<NoteKey>> logs;  ///< by origin
};

struct WitnessVerdict {
  WitnessAnswer answer;
  /// Of a 200: the note with our line, durable as the last one of its origin before the answer.
  std::optional<std::string> remember;
  std::optional<ForkEvidence> evidence;  ///< of a 422 that proves a fork
};

/// `request` and `known`, the last note of its origin that was remembered (nothing: none), become
/// an answer: 200, 403 no signature by the log, 404 origin, 409 another size is known (told in the
/// body), 422 the proof or the root is false. `time`: POSIX seconds.
WitnessVerdict judge(const WitnessSetup& setup, const AddCheckpoint& request,
                     const std::optional<std::string>& known, std::uint64_t time);

/// The witness's memory: a store without entries, whose side files are the last notes by origin,
/// and a folder with `<origin>/evidence-<n>`. Thread-safe: requests that come together are judged
/// one after the other by one of their threads and become durable in one transaction; no answer
/// leaves before it.
class WitnessBook {
 public:
  /// `memory` and `evidence` outlive the book; `setup.key` too.
  WitnessBook(Store& memory, LogFolder& evidence, WitnessSetup setup)
      : memory_(memory), evidence_(evidence), setup_(std::move(setup)) {}

  /// Answers the body of an add-checkpoint request: as judge(), 400 for a malformed one, 500 when
  /// the memory cannot be read or written (nothing was signed then, as far as anybody hears).
  WitnessAnswer add_checkpoint(std::string_view body, std::uint64_t time);
  /// The last checkpoint of a log that was cosigned, with its cosignature: what monitors compare.
  /// kNotFound for a log of which there is none.
  Result<std::string> last(const std::string& origin);
  const WitnessSetup& setup() const { return setup_; }

 private:
  using Notes = std::map<std::string, std::string>;  // by origin
  struct Request {
    const AddCheckpoint& asked;
    std::uint64_t time = 0;
    std::optional<WitnessAnswer> answer;
  };
  Result<void> recall();
  Result<std::vector<WitnessAnswer>> judge_all(std::span<Request* const> group);
  Result<void> keep_evidence(const std::string& origin, const ForkEvidence& evidence);

  Store& memory_;
  LogFolder& evidence_;
  const WitnessSetup setup_;
  std::mutex mutex_;                 // guards what follows
  std::condition_variable changed_;  // somebody has his answer, or nobody leads
  std::vector<Request*> waiting_;
  bool is_led_ = false;         // one of the threads works off a group
  std::optional<Notes> notes_;  // what is durable, once it was read; written by who leads
};

}  // namespace coshard::ledger
