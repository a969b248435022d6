// SPDX-License-Identifier: Apache-2.0
#include "ledger/policy.h"

#include <algorithm>
#include <charconv>

#include "protocol/base/check.h"
#include "protocol/base/limits.h"

namespace coshard::ledger {
namespace {

/// Words between spaces and tabs.
std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> out;
  constexpr std::string_view kSpace = " \t";
  for (std::size_t at = line.find_first_not_of(kSpace); at != std::string_view::npos;) {
    const std::size_t end = std::min(line.find_first_of(kSpace, at), line.size());
    out.push_back(line.substr(at, end - at));
    at = line.find_first_not_of(kSpace, end);
  }
  return out;
}

bool is_policy_text(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || byte == '\n' || (byte >= 0x20 && byte != 0x7F);
  });
}

tl::unexpected<Error> expected(std::string what) {
  return fail(ErrorCode::kInvalidArgument, std::move(what));
}

std::string quoted(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace

/// Line by line, in the order of the file.
class PolicyReader {
 public:
  Result<Policy> read(std::string_view text) {
    if (text.size() > limits::kPolicyBytesMax || !is_policy_text(text) ||
        (!text.empty() && text.back() != '\n')) {
      return expected("policy: lines of text that end in a newline were expected, at most " +
                      std::to_string(limits::kPolicyBytesMax) + " bytes");
    }
    for (std::size_t number = 1; !text.empty(); ++number) {
      const std::size_t end = text.find('\n');
      if (auto taken = take(words_of(text.substr(0, end))); !taken) {
        return tl::unexpected(taken.error().within("policy: line " + std::to_string(number)));
      }
      text.remove_prefix(end + 1);
    }
    if (!has_quorum_) return expected("policy: one line \"quorum NAME\" was expected, found none");
    return std::move(policy_);
  }

 private:
  using Words = std::vector<std::string_view>;

  Result<void> take(const Words& words) {
    if (words.empty() || words[0].starts_with('#')) return {};
    if (words[0] == "log") return take_log(words);
    if (words[0] == "witness") return take_witness(words);
    if (words[0] == "group") return take_group(words);
    if (words[0] == "quorum") return take_quorum(words);
    return expected("log, witness, group or quorum was expected, found " + quoted(words[0]));
  }

  Result<void> take_log(const Words& words) {
    if (words.size() < 2 || words.size() > 3) {
      return expected("\"log VKEY [URL]\" was expected");
    }
    COSHARD_ASSIGN(NoteKey key, NoteKey::parse_vkey(words[1]));
    COSHARD_TRY(check_key(key));
    for (const PolicyLog& log : policy_.logs_) {
      if (log.key.key == key.key) return expected("log " + key.name + " has the key of another");
    }
    if (policy_.logs_.size() == limits::kPolicyItemsMax) {
      return expected("at most " + std::to_string(limits::kPolicyItemsMax) + " logs were expected");
    }
    policy_.logs_.push_back({std::move(key), words.size() == 3 ? std::string(words[2]) : ""});
    return {};
  }

  Result<void> take_witness(const Words& words) {
    if (words.size() < 3 || words.size() > 4) {
      return expected("\"witness NAME VKEY [URL]\" was expected");
    }
    COSHARD_ASSIGN(NoteKey key, NoteKey::parse(words[2], NoteKeyType::kCosignatureV1));
    COSHARD_TRY(check_key(key));
    for (const PolicyWitness& witness : policy_.witnesses_) {
      if (witness.key.key == key.key) {
        return expected("witness " + std::string(words[1]) + " has the key of " + witness.name);
      }
    }
    COSHARD_ASSIGN(const std::size_t place, define(words[1]));
    policy_.nodes_[place].witness = policy_.witnesses_.size();
    policy_.witnesses_.push_back(
        {std::string(words[1]), std::move(key), words.size() == 4 ? std::string(words[3]) : ""});
    return {};
  }

  Result<void> take_group(const Words& words) {
    if (words.size() < 4) {
      return expected("\"group NAME all|any|K MEMBER…\" with at least one member was expected");
    }
    std::vector<std::size_t> members;
    for (const std::string_view name : std::span(words).subspan(3)) {
      COSHARD_ASSIGN(const std::size_t member, find(name));
      if (policy_.nodes_[member].is_member) {
        return expected(quoted(name) + " is a member already: each name may be in one group");
      }
      policy_.nodes_[member].is_member = true;
      members.push_back(member);
    }
    COSHARD_ASSIGN(const std::size_t threshold, parse_threshold(words[2], members.size()));
    COSHARD_ASSIGN(const std::size_t place, define(words[1]));
    policy_.nodes_[place].threshold = threshold;
    policy_.nodes_[place].members = std::move(members);
    return {};
  }

  Result<void> take_quorum(const Words& words) {
    if (words.size() != 2) return expected("\"quorum NAME\" was expected");
    if (has_quorum_) return expected("one quorum was expected, found another");
    has_quorum_ = true;
    if (words[1] == "none") return {};
    COSHARD_ASSIGN(policy_.quorum_, find(words[1]));
    return {};
  }

  static Result<void> check_key(const NoteKey& key) {
    if (crypto::is_valid_public_key(key.key)) return {};
    return expected("the key of " + key.name + " is not one that Ed25519 makes");
  }

  static Result<std::size_t> parse_threshold(std::string_view word, std::size_t members) {
    if (word == "any") return std::size_t{1};
    if (word == "all") return members;
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error == std::errc() && end == word.data() + word.size() && word.front() != '0' &&
        value >= 1 && value <= members) {
      return value;
    }
    return expected("all, any or a number from 1 to " + std::to_string(members) +
                    " was expected, found " + quoted(word));
  }

  Result<std::size_t> find(std::string_view name) const {
    const auto found = std::ranges::find(policy_.nodes_, name, &Policy::Node::name);
    if (found != policy_.nodes_.end()) {
      return static_cast<std::size_t>(found - policy_.nodes_.begin());
    }
    return expected("a witness or group of an earlier line was expected, found " + quoted(name));
  }

  /// The place of a new node.
  Result<std::size_t> define(std::string_view name) {
    if (name == "none" || find(name)) return expected("the name " + quoted(name) + " is taken");
    if (policy_.nodes_.size() == 2 * limits::kPolicyItemsMax) {
      return expected("at most " + std::to_string(2 * limits::kPolicyItemsMax) +
                      " witnesses and groups were expected");
    }
    policy_.nodes_.emplace_back().name = name;
    return policy_.nodes_.size() - 1;
  }

  Policy policy_;
  bool has_quorum_ = false;
};

Result<Policy> Policy::parse(std::string_view text) { return PolicyReader().read(text); }

bool Policy::is_met_by(std::span<const NoteKey> signers) const {
  if (!quorum_) return true;
  std::vector<bool> met;  // members stand before their groups
  for (const Node& node : nodes_) {
    if (node.witness) {
      const NoteKey& key = witnesses_[*node.witness].key;
      met.push_back(std::ranges::find(signers, key) != signers.end());
      continue;
    }
    const auto have = std::ranges::count_if(node.members, [&](std::size_t i) { return met[i]; });
    met.push_back(static_cast<std::size_t>(have) >= node.threshold);
  }
  return met[*quorum_];
}

std::string Policy::describe(const Node& node) const {
  if (node.witness) return node.name;
  std::string out;
  for (const std::size_t member : node.members) {
    const Node& one = nodes_[member];
    const bool group = !one.witness;
    out += (out.empty() ? "" : ", ") + (group ? "(" + describe(one) + ")" : one.name);
  }
  return std::to_string(node.threshold) + " of " + out;
}

std::string Policy::describe_quorum() const {
  return quorum_ ? describe(nodes_[*quorum_]) : "no witness";
}

Result<CosignedCheckpoint> open_cosigned(std::string_view note, const Policy& policy,
                                         const std::optional<NoteKey>& pinned) {
  std::vector<NoteKey> known;
  for (const PolicyLog& log : policy.logs()) {
    if (!pinned || log.key == *pinned) known.push_back(log.key);
  }
  if (policy.logs().empty() && pinned) known.push_back(*pinned);
  if (known.empty()) {
    return fail(ErrorCode::kPermissionDenied,
                pinned ? "the policy does not list the log " + pinned->vkey()
                       : "no log is listed in the policy and no log key was given");
  }
  const std::size_t logs = known.size();
  for (const PolicyWitness& witness : policy.witnesses()) known.push_back(witness.key);
  COSHARD_ASSIGN(const Note opened, open_note(note, known));
  CosignedCheckpoint out;
  COSHARD_ASSIGN(out.checkpoint, Checkpoint::parse(opened.text));
  const auto own = std::find_if(opened.verified.begin(), opened.verified.end(), [&](const auto& k) {
    const auto end = known.begin() + static_cast<std::ptrdiff_t>(logs);
    return k.name == out.checkpoint.origin && std::find(known.begin(), end, k) != end;
  });
  if (own == opened.verified.end()) {
    return fail(ErrorCode::kPermissionDenied,
                "checkpoint: a signature by the log " + known.front().name +
                    " was expected, found origin " + out.checkpoint.origin + " without it");
  }
  out.log = *own;
  std::string names;
  for (const PolicyWitness& witness : policy.witnesses()) {
    if (std::ranges::find(opened.verified, witness.key) == opened.verified.end()) continue;
    out.witnesses.push_back(witness.name);
    names += (names.empty() ? "" : ", ") + witness.name;
  }
  if (policy.is_met_by(opened.verified)) return out;
  return fail(ErrorCode::kPermissionDenied,
              "checkpoint of " + std::to_string(out.checkpoint.size) +
                  " entries: cosignatures by " + policy.describe_quorum() +
                  " were expected, found " + (names.empty() ? "none" : names));
}

}  // namespace coshard::ledger
