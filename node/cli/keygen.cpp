// coshard keygen: fresh keys of a participant in one protected file.
// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "crypto/secret_file.h"
#include "node/cli/commands.h"
#include "node/cli/exit_code.h"
#include "node/startup.h"
#include "node/witness_key.h"
#include "protocol/base/limits.h"

namespace coshard::cli {
namespace {

/// Stops the terminal from showing what is typed, for as long as it lives.
class HiddenTyping {
 public:
  explicit HiddenTyping(int fd) : fd_(fd), changed_(tcgetattr(fd, &before_) == 0) {
    if (!changed_) return;
    termios hidden = before_;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(fd_, TCSAFLUSH, &hidden);
  }
  ~HiddenTyping() {
    if (changed_) tcsetattr(fd_, TCSAFLUSH, &before_);
  }
  HiddenTyping(const HiddenTyping&) = delete;
  HiddenTyping& operator=(const HiddenTyping&) = delete;

 private:
  int fd_;
  termios before_{};
  bool changed_;
};

/// One line without its end, byte by byte so that nothing after it is swallowed. The buffer is
/// wiped by its owner.
Result<crypto::SecretBytes> read_line(int fd) {
  crypto::SecretBytes line(limits::kTextBytesMax);
  std::size_t length = 0;
  for (;;) {
    std::uint8_t byte = 0;
    const ssize_t count = read(fd, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      return fail(ErrorCode::kInvalidArgument, "passphrase: expected a line on file descriptor " +
                                                   std::to_string(fd) +
                                                   ", found: " + std::strerror(errno));
    if (count == 0 || byte == '\n') break;
    if (length == line.size())
      return fail(
          ErrorCode::kInvalidArgument,
          "passphrase: expected at most " + std::to_string(limits::kTextBytesMax) + " bytes");
    line.writable()[length++] = byte;
  }
  return crypto::SecretBytes::copy_of(line.view().first(length));
}

Result<crypto::SecretBytes> ask(const char* prompt) {
  std::fputs(prompt, stderr);
  const HiddenTyping hidden(STDIN_FILENO);
  auto line = read_line(STDIN_FILENO);
  std::fputc('\n', stderr);
  return line;
}

Result<crypto::SecretBytes> ask_twice() {
  if (isatty(STDIN_FILENO) == 0)
    return fail(ErrorCode::kInvalidArgument,
                "passphrase: expected a terminal to ask on, found none; use --passphrase-fd N or "
                "--no-passphrase");
  COSHARD_ASSIGN(crypto::SecretBytes first, ask("Passphrase: "));
  COSHARD_ASSIGN(const crypto::SecretBytes second, ask("The same again: "));
  if (as_text(first.view()) != as_text(second.view()))
    return fail(ErrorCode::kInvalidArgument, "passphrase: expected the same line twice");
  return first;
}

/// Refuses a file that is there already; asks for the passphrase that was wanted.
Result<std::optional<crypto::SecretBytes>> prepare(const KeygenCommand& command) {
  std::error_code ec;
  if (std::filesystem::exists(std::filesystem::symlink_status(command.out, ec)))
    return fail(ErrorCode::kFailedPrecondition,
                command.out.string() +
                    ": expected no such file, found one; keys are never "
                    "overwritten (choose another --out)");
  if (command.no_passphrase) return std::nullopt;
  COSHARD_ASSIGN(crypto::SecretBytes passphrase,
                 command.passphrase_fd ? read_line(*command.passphrase_fd) : ask_twice());
  if (passphrase.size() == 0)
    return fail(ErrorCode::kInvalidArgument,
                "passphrase: expected at least one character, found none (--no-passphrase leaves "
                "the file unprotected)");
  return passphrase;
}

Result<crypto::Identity> make_keys(const KeygenCommand& command) {
  COSHARD_ASSIGN(const auto passphrase, prepare(command));
  crypto::Identity identity = crypto::Identity::generate();
  COSHARD_TRY(crypto::save_identity(command.out, identity, node::as_passphrase(passphrase)));
  return identity;
}

Result<node::WitnessKey> make_witness(const KeygenCommand& command) {
  COSHARD_ASSIGN(const auto passphrase, prepare(command));
  return node::make_witness_key(command.out, command.witness, node::as_passphrase(passphrase));
}

int run_for_witness(const KeygenCommand& command) {
  const auto made = make_witness(command);
  if (!made) return report(made.error(), kBadInput);
  const std::string vkey = made->note_key().vkey();
  if (command.json) {
    const nlohmann::ordered_json json{{"file", command.out.string()},
                                      {"witness", made->name},
                                      {"vkey", vkey},
                                      {"protected", !command.no_passphrase}};
    std::printf("%s\n", json.dump().c_str());
    return kDone;
  }
  std::printf("file  %s\nvkey  %s\n", command.out.c_str(), vkey.c_str());
  std::printf("In a policy: witness NAME %s http://HOST:PORT\n", vkey.c_str());
  return kDone;
}

}  // namespace

int run(const KeygenCommand& command) {
  if (!command.witness.empty()) return run_for_witness(command);
  const auto identity = make_keys(command);
  if (!identity) return report(identity.error(), kBadInput);
  if (command.json) {
    const nlohmann::ordered_json json{{"file", command.out.string()},
                                      {"node", identity->node().hex()},
                                      {"account", identity->account().hex()},
                                      {"protected", !command.no_passphrase}};
    std::printf("%s\n", json.dump().c_str());
    return kDone;
  }
  std::printf("file     %s%s\nnode     %s\naccount  %s\n", command.out.c_str(),
              command.no_passphrase ? "  (no passphrase: whoever reads it owns the account)" : "",
              identity->node().hex().c_str(), identity->account().hex().c_str());
  std::printf("Keep a copy of the file: without it the account is lost.\n");
  return kDone;
}

}  // namespace coshard::cli
