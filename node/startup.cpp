// Parsing and small files.
// SPDX-License-Identifier: Apache-2.0
#include "node/startup.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <ctime>
#include <fstream>

#include "crypto/secret_file.h"

namespace coshard::node {

namespace {

constexpr std::string_view kScheme = "coshard://";
constexpr std::size_t kPassphraseBytesMax = 4096;

tl::unexpected<Error> bad_invitation(std::string_view text) {
  return fail(ErrorCode::kInvalidArgument,
              "expected an invitation like coshard://HOST:PORT/?node=…&curve=… or a file that "
              "holds one, found \"" +
                  std::string(text.substr(0, 200)) + "\"");
}

/// The 32 bytes that `parameters` gives for `name`.
std::optional<std::array<std::uint8_t, 32>> key_parameter(std::string_view parameters,
                                                          std::string_view name) {
  while (!parameters.empty()) {
    const std::size_t end = std::min(parameters.find('&'), parameters.size());
    const std::string_view pair = parameters.substr(0, end);
    parameters.remove_prefix(std::min(end + 1, parameters.size()));
    if (!pair.starts_with(name) || pair.size() <= name.size() || pair[name.size()] != '=') continue;
    const auto bytes = from_hex(pair.substr(name.size() + 1));
    return bytes ? to_array<32>(*bytes) : std::nullopt;
  }
  return std::nullopt;
}

/// Clocks that nobody tends differ by seconds.
constexpr std::uint64_t kClockToleranceMs = 60'000;

std::string utc(std::uint64_t ms) {
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text.data();
}

std::string without_scheme(const std::string& endpoint) {
  const std::size_t at = endpoint.find("://");
  return at == std::string::npos ? endpoint : endpoint.substr(at + 3);
}

}  // namespace

std::string format_invitation(const Invitation& invitation) {
  std::string text = std::string(kScheme) + without_scheme(invitation.coordinator.endpoint) +
                     "/?node=" + invitation.coordinator.node.hex() +
                     "&curve=" + to_hex(invitation.coordinator.curve_public);
  if (invitation.network) text += "&network=" + invitation.network->hex();
  return text;
}

Result<Invitation> parse_invitation(std::string_view text) {
  const std::string_view whole = text;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  if (!text.starts_with(kScheme)) return bad_invitation(whole);
  text.remove_prefix(kScheme.size());
  const std::size_t slash = text.find("/?");
  if (slash == std::string_view::npos || text.substr(0, slash).find(':') == std::string_view::npos)
    return bad_invitation(whole);
  const std::string_view parameters = text.substr(slash + 2);
  const auto node = key_parameter(parameters, "node");
  const auto curve = key_parameter(parameters, "curve");
  if (!node || !curve) return bad_invitation(whole);
  Invitation invitation;
  invitation.coordinator = {NodeId{*node}, "tcp://" + std::string(text.substr(0, slash)), *curve};
  if (const auto network = key_parameter(parameters, "network"))
    invitation.network = NetworkId{*network};
  return invitation;
}

Result<Invitation> read_invitation(const std::string& text_or_file) {
  if (text_or_file.starts_with(kScheme)) return parse_invitation(text_or_file);
  std::ifstream file(text_or_file);
  std::string line;
  if (!file || !std::getline(file, line))
    return fail(ErrorCode::kNotFound,
                "--join: expected an invitation or a file with one, found "
                "neither at \"" +
                    text_or_file + "\"");
  auto invitation = parse_invitation(line);
  if (!invitation) return tl::unexpected(invitation.error().within(text_or_file));
  return invitation;
}

Result<std::optional<crypto::SecretBytes>> read_passphrase(int fd) {
  if (fd < 0) return std::nullopt;
  crypto::SecretBytes line(kPassphraseBytesMax);
  std::size_t size = 0;
  while (size < kPassphraseBytesMax) {
    const ssize_t got = ::read(fd, line.writable().data() + size, 1);
    if (got < 0)
      return fail(ErrorCode::kInvalidArgument,
                  "--passphrase-fd: cannot read: " + std::string(std::strerror(errno)));
    if (got == 0 || line.view()[size] == '\n') break;
    ++size;
  }
  return crypto::SecretBytes::copy_of(line.view().first(size));
}

std::optional<std::string_view> as_passphrase(
    const std::optional<crypto::SecretBytes>& passphrase) {
  if (!passphrase) return std::nullopt;
  return as_text(passphrase->view());
}

Result<crypto::Identity> open_identity(const std::filesystem::path& file,
                                       const std::optional<crypto::SecretBytes>& passphrase) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) {
    const crypto::Identity fresh = crypto::Identity::generate();
    COSHARD_TRY(crypto::save_identity(file, fresh, as_passphrase(passphrase)));
  }
  return crypto::load_identity(file, as_passphrase(passphrase));
}

Result<std::string> listen_endpoint(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  int port = -1;
  if (text.starts_with("tcp://") && colon != std::string::npos && colon > 6) {
    const char* end = text.data() + text.size();
    const auto [at, error] = std::from_chars(text.data() + colon + 1, end, port);
    if (error != std::errc() || at != end) port = -1;
  }
  if (port < 0 || port > 65535)
    return fail(ErrorCode::kInvalidArgument,
                "--listen: expected tcp://HOST:PORT, found \"" + text + "\"");
  return port == 0 ? text.substr(0, colon + 1) + "*" : text;
}

std::string advertised_endpoint(const std::string& bound, const std::string& advertise) {
  if (advertise.empty()) return bound;
  if (advertise.find(':') != std::string::npos) return "tcp://" + advertise;
  return "tcp://" + advertise + bound.substr(bound.rfind(':'));
}

std::optional<std::string> clock_complaint(std::uint64_t now_ms, std::uint64_t known_ms) {
  if (now_ms + kClockToleranceMs >= known_ms) return std::nullopt;
  return "this machine's clock is wrong: expected a time after " + utc(known_ms) +
         ", when the round was founded, found " + utc(now_ms) +
         "; set it (timedatectl set-ntp true): training does not depend on it, times in logs and "
         "in the ledger do";
}

Result<void> prepare_directory(const std::filesystem::path& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error || ::access(directory.c_str(), W_OK | X_OK) != 0)
    return fail(ErrorCode::kInvalidArgument,
                "--dir: expected a folder that can be written, found " + directory.string() + ": " +
                    (error ? error.message() : std::strerror(errno)));
  return {};
}

Result<void> replace_file(const std::filesystem::path& file, std::string_view text, unsigned mode) {
  const std::string temporary = file.string() + ".new";
  const auto trouble = [&] {
    const std::string why = std::strerror(errno);
    ::unlink(temporary.c_str());
    return fail(ErrorCode::kUnavailable, "cannot write " + file.string() + ": " + why);
  };
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return trouble();
  const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const bool closed = ::close(fd) == 0;
  if (!written || !closed || ::rename(temporary.c_str(), file.c_str()) != 0) return trouble();
  return {};
}

}  // namespace coshard::node
