// See passphrase.h.
// SPDX-License-Identifier: Apache-2.0
#include "node/cli/passphrase.h"

#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "node/startup.h"
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

}  // namespace

/// One line without its end, byte by byte so that nothing after it is swallowed. The buffer is
/// wiped by its owner.
Result<crypto::SecretBytes> read_passphrase_line(int fd) {
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

namespace {

Result<crypto::SecretBytes> ask(const std::string& prompt) {
  std::fputs(prompt.c_str(), stderr);
  const HiddenTyping hidden(STDIN_FILENO);
  auto line = read_passphrase_line(STDIN_FILENO);
  std::fputc('\n', stderr);
  return line;
}

}  // namespace

Result<crypto::SecretBytes> ask_new_passphrase() {
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

Result<std::optional<crypto::SecretBytes>> passphrase_of(const std::filesystem::path& file,
                                                         std::optional<int> fd) {
  COSHARD_ASSIGN(const bool needed, crypto::needs_passphrase(file));
  if (!needed) return std::nullopt;
  if (fd) {
    COSHARD_ASSIGN(crypto::SecretBytes line, read_passphrase_line(*fd));
    return line;
  }
  if (isatty(STDIN_FILENO) == 0)
    return fail(
        ErrorCode::kInvalidArgument,
        file.string() +
            ": has a passphrase; expected a terminal to ask on, found none (use "
            "--passphrase-fd N, or --coordinator-passphrase-fd N for the coordinator's key)");
  COSHARD_ASSIGN(crypto::SecretBytes line, ask("Passphrase of " + file.string() + ": "));
  return line;
}

Result<crypto::Identity> open_keys(const std::filesystem::path& file, std::optional<int> fd) {
  COSHARD_ASSIGN(const auto passphrase, passphrase_of(file, fd));
  return crypto::load_identity(file, node::as_passphrase(passphrase));
}

Result<crypto::Identity> open_owner_keys(const std::filesystem::path& file, std::optional<int> fd) {
  COSHARD_ASSIGN(const auto passphrase, passphrase_of(file, fd));
  return load_owner_keys(file, node::as_passphrase(passphrase));
}

Result<crypto::Identity> load_owner_keys(const std::filesystem::path& file,
                                         crypto::Passphrase passphrase) {
  COSHARD_ASSIGN(crypto::Identity keys, crypto::load_identity(file, passphrase));
  if (keys.has_root()) return keys;
  return fail(ErrorCode::kInvalidArgument,
              file.string() +
                  ": expected an owner's key file, found a box's, which has no root key to sign "
                  "with; use the one that coshard keygen --root made it with, of account " +
                  keys.account().short_hex() + " (this box is --node " + keys.node().hex() + ")");
}

Result<bool> agrees(const std::string& question) {
  if (isatty(STDIN_FILENO) == 0)
    return fail(ErrorCode::kInvalidArgument,
                "expected a terminal to ask on, found none; --yes agrees without asking");
  std::fprintf(stderr, "%s Type yes: ", question.c_str());
  char line[16] = {};
  if (std::fgets(line, sizeof line, stdin) == nullptr) return false;
  return std::string_view(line) == "yes\n";
}

}  // namespace coshard::cli
