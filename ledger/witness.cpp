// SPDX-License-Identifier: Apache-2.0
#include "ledger/witness.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "crypto/hash.h"
#include "ledger/cosignature.h"
#include "ledger/merkle.h"
#include "protocol/base/limits.h"
#include "protocol/base/log.h"

namespace coshard::ledger {
namespace {

tl::unexpected<Error> malformed(const std::string& what) {
  return fail(ErrorCode::kInvalidArgument, "add-checkpoint: " + what);
}

WitnessAnswer answer(int status, std::string text) {
  WitnessAnswer out;
  out.status = status;
  out.body = std::move(text) + "\n";
  return out;
}

WitnessVerdict refuse(int status, std::string text) {
  return {answer(status, std::move(text)), std::nullopt, std::nullopt};
}

WitnessVerdict tell_size(std::uint64_t size) {
  WitnessVerdict out = refuse(409, std::to_string(size));
  out.answer.content_type = kSizeContentType;
  return out;
}

/// Both are signed by the log; what they prove together, if anything.
std::optional<ForkEvidence> evidence_in(const NoteKey& log, const std::string& known,
                                        const AddCheckpoint& request) {
  ForkEvidence evidence{log, known, request.note, {}};
  if (examine(evidence)) return evidence;
  // A proof for another history leads to the new root and away from the one that we cosigned.
  evidence.path = request.proof;
  if (examine(evidence)) return evidence;
  return std::nullopt;
}

/// The note with the log's own lines alone: what others wrote below it is not kept.
std::string log_lines(const std::string& note, const std::vector<NoteKey>& keys) {
  const NoteParts parts = parse_note(note).value_or(NoteParts{});
  std::string out = std::string(parts.text) + "\n";
  for (const NoteLine& line : parts.lines) {
    if (std::ranges::any_of(keys, [&](const NoteKey& key) { return is_line_of(line, key); })) {
      out += line.raw;
    }
  }
  return out;
}

bool continues(const Checkpoint& older, const Checkpoint& newer, const AddCheckpoint& request) {
  if (older.size == 0) {
    return request.proof.empty() && (newer.size > 0 || newer.root == empty_root());
  }
  return verify_consistency(older.size, newer.size, older.root, newer.root, request.proof)
      .has_value();
}

/// The origin in the first line of a note that was parsed.
std::string origin_of(const AddCheckpoint& request) {
  return request.note.substr(0, request.note.find('\n'));
}

WitnessAnswer unusable(const Error& error) {
  log(LogLevel::kError, "witness", error.message);
  return answer(500, "this witness cannot use its memory: ask again later");
}

/// A folder's name that no origin can turn into a path.
std::string folder_of(const std::string& origin) {
  return to_hex(crypto::sha256(as_bytes(origin)));
}

}  // namespace

std::string AddCheckpoint::format() const {
  std::string out = "old " + std::to_string(old_size) + "\n";
  for (const Hash& hash : proof) out += to_base64(hash) + "\n";
  return out + "\n" + note;
}

Result<AddCheckpoint> AddCheckpoint::parse(std::string_view body) {
  if (body.size() > limits::kNoteBytesMax || !body.starts_with("old ")) {
    return malformed("\"old SIZE\" was expected in the first line");
  }
  AddCheckpoint out;
  std::size_t end = body.find('\n');
  std::from_chars(body.data() + 4, body.data() + std::min(end, body.size()), out.old_size);
  std::string_view rest = body;
  for (;;) {
    if (end == std::string_view::npos) return malformed("an empty line and a checkpoint");
    rest.remove_prefix(end + 1);
    end = rest.find('\n');
    if (end == 0) break;
    const auto hash = from_base64(rest.substr(0, end));
    if (!hash || hash->size() != sizeof(Hash) || out.proof.size() == limits::kProofHashesMax) {
      return malformed("at most 63 hashes in base64 were expected");
    }
    out.proof.push_back(*to_array<sizeof(Hash)>(*hash));
  }
  out.note = rest.substr(1);
  // Writing it again is the strictest parser.
  if (out.format() != body) return malformed("a size without sign and leading zero was expected");
  COSHARD_ASSIGN(const NoteParts parts, parse_note(out.note));
  COSHARD_TRY(Checkpoint::parse(parts.text));
  return out;
}

std::optional<std::uint64_t> parse_size_body(std::string_view body) {
  std::uint64_t size = 0;
  std::from_chars(body.data(), body.data() + body.size(), size);
  if (body != std::to_string(size) + "\n") return std::nullopt;
  return size;
}

WitnessVerdict judge(const WitnessSetup& setup, const AddCheckpoint& request,
                     const std::optional<std::string>& known, std::uint64_t time) {
  const auto log = setup.logs.find(origin_of(request));
  if (log == setup.logs.end()) return refuse(404, "this witness does not know the log");
  const auto opened = open_note(request.note, log->second);
  if (!opened) {
    return refuse(opened.error().code == ErrorCode::kInvalidArgument ? 400 : 403,
                  opened.error().message);
  }
  const auto newer = Checkpoint::parse(opened->text);
  if (!newer) return refuse(400, newer.error().message);
  if (request.old_size > newer->size) {
    return refuse(400, "an old size of at most the checkpoint's size was expected");
  }
  Checkpoint older{newer->origin, 0, empty_root()};
  if (known) {
    const auto last = open_note(*known, log->second);
    if (!last) return refuse(500, "what this witness remembers is not signed by the log");
    older = Checkpoint::parse(last->text).value_or(older);
  }
  if (request.old_size != older.size) return tell_size(older.size);
  if (!continues(older, *newer, request)) {
    WitnessVerdict out = refuse(
        422, "the checkpoint does not continue the one of size " + std::to_string(older.size));
    if (known) out.evidence = evidence_in(opened->verified.front(), *known, request);
    return out;
  }
  WitnessVerdict out;
  out.answer.status = 200;
  out.answer.body = cosign(opened->text, setup.name, *setup.key, time);
  out.remember = log_lines(request.note, log->second) + out.answer.body;
  return out;
}

WitnessAnswer WitnessBook::add_checkpoint(std::string_view body, std::uint64_t time) {
  const auto asked = AddCheckpoint::parse(body);
  if (!asked) return answer(400, asked.error().message);
  if (!setup_.logs.contains(origin_of(*asked))) {
    return judge(setup_, *asked, std::nullopt, time).answer;
  }
  Request request{*asked, time, std::nullopt};
  std::unique_lock lock(mutex_);
  if (const auto known = recall(); !known) return unusable(known.error());
  waiting_.push_back(&request);
  for (;;) {
    changed_.wait(lock, [&] { return request.answer || !is_led_; });
    if (request.answer) return *request.answer;
    is_led_ = true;
    const std::vector<Request*> group = std::exchange(waiting_, {});
    lock.unlock();
    auto answers = judge_all(group);
    lock.lock();
    // Where the memory fails nobody hears of anything: a refusal, too, may rest on a note of the
    // same group.
    for (std::size_t i = 0; i < group.size(); ++i) {
      group[i]->answer = answers ? std::move((*answers)[i]) : unusable(answers.error());
    }
    is_led_ = false;
    changed_.notify_all();
  }
}

/// By the thread that leads: nobody else changes what is remembered meanwhile.
Result<std::vector<WitnessAnswer>> WitnessBook::judge_all(std::span<Request* const> group) {
  std::vector<WitnessAnswer> out;
  Notes fresh;
  for (const Request* one : group) {
    const std::string origin = origin_of(one->asked);
    std::optional<std::string> known;
    if (const auto last = notes_->find(origin); last != notes_->end()) known = last->second;
    if (const auto last = fresh.find(origin); last != fresh.end()) known = last->second;
    WitnessVerdict verdict = judge(setup_, one->asked, known, one->time);
    if (verdict.evidence) COSHARD_TRY(keep_evidence(origin, *verdict.evidence));
    if (verdict.remember) fresh[origin] = std::move(*verdict.remember);
    out.push_back(std::move(verdict.answer));
  }
  if (fresh.empty()) return out;
  std::vector<SideFile> files;
  for (const auto& [origin, note] : fresh) files.push_back({origin, to_bytes(as_bytes(note))});
  COSHARD_TRY(memory_.append(0, {}, files));
  const std::lock_guard lock(mutex_);  // last() reads them
  for (auto& [origin, note] : fresh) (*notes_)[origin] = std::move(note);
  return out;
}

Result<std::string> WitnessBook::last(const std::string& origin) {
  const std::lock_guard lock(mutex_);
  COSHARD_TRY(recall());
  const auto known = notes_->find(origin);
  if (known != notes_->end()) return known->second;
  return fail(ErrorCode::kNotFound, "nothing was cosigned of " + origin);
}

/// Everything that was ever remembered, once.
Result<void> WitnessBook::recall() {
  if (notes_) return {};
  COSHARD_ASSIGN(const std::vector<SideFile> files, memory_.side_files());
  notes_.emplace();
  for (const SideFile& file : files) (*notes_)[file.path] = std::string(as_text(file.bytes));
  return {};
}

Result<void> WitnessBook::keep_evidence(const std::string& origin, const ForkEvidence& evidence) {
  // Named by its content: the same attempt again is the same file.
  const std::string text = evidence.format();
  const std::string path = folder_of(origin) + "/evidence-" +
                           to_hex(crypto::sha256(as_bytes(text))).substr(0, 16) + ".txt";
  log(LogLevel::kError, "witness",
      "the log " + origin + " has forked: evidence in " + evidence_.describe(path));
  return evidence_.write(path, as_bytes(text));
}

}  // namespace coshard::ledger
