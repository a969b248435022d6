// SPDX-License-Identifier: Apache-2.0
#include "crypto/secret_file.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "crypto/aead.h"
#include "crypto/hash.h"
#include "crypto/random.h"
#include "crypto/sodium_init.h"
#include "protocol/base/limits.h"

namespace coshard::crypto {
namespace {

constexpr std::string_view kMagic = "coshkey\n";
constexpr std::uint8_t kVersion = 1;
enum class Kdf : std::uint8_t { kNone = 0, kArgon2id13 = 1 };
constexpr std::size_t kSaltBytes = 16;
constexpr std::size_t kHeaderBytes = 8 + 1 + 1 + 8 + 8 + kSaltBytes + sizeof(AeadNonce);
static_assert(kSaltBytes == crypto_pwhash_argon2id_SALTBYTES);

struct Header {
  Kdf kdf = Kdf::kNone;
  KdfCost cost;
  ByteView salt;
  AeadNonce nonce{};
};

Result<Header> parse_header(ByteView file) {
  if (file.size() < kHeaderBytes + kAeadTagBytes || file.size() > limits::kKeyFileBytesMax ||
      as_text(file.first(kMagic.size())) != kMagic) {
    return fail(ErrorCode::kCorruption, "not a coshard key file, or cut short");
  }
  if (file[8] != kVersion || file[9] > static_cast<std::uint8_t>(Kdf::kArgon2id13)) {
    return fail(ErrorCode::kCorruption, "key file of version 1 was expected, found version " +
                                            std::to_string(file[8]) + " with key derivation " +
                                            std::to_string(file[9]));
  }
  Header header;
  header.kdf = static_cast<Kdf>(file[9]);
  header.cost = {get_be<std::uint64_t>(file.subspan(10)), get_be<std::uint64_t>(file.subspan(18))};
  header.salt = file.subspan(26, kSaltBytes);
  header.nonce = *to_array<sizeof(AeadNonce)>(file.subspan(26 + kSaltBytes, sizeof(AeadNonce)));
  return header;
}

Result<void> check_cost(const KdfCost& cost) {
  if (cost.memory_bytes > limits::kKeyFileMemoryMax || cost.passes > limits::kKeyFileOpsMax) {
    return fail(ErrorCode::kResourceExhausted,
                "key file asks for " + std::to_string(cost.memory_bytes) + " bytes and " +
                    std::to_string(cost.passes) + " passes; at most " +
                    std::to_string(limits::kKeyFileMemoryMax) + " and " +
                    std::to_string(limits::kKeyFileOpsMax) + " are allowed");
  }
  if (cost.memory_bytes < crypto_pwhash_argon2id_MEMLIMIT_MIN ||
      cost.passes < crypto_pwhash_argon2id_OPSLIMIT_MIN) {
    return fail(ErrorCode::kCorruption, "key file asks for less than Argon2id can do");
  }
  return {};
}

/// The file's encryption key. Without a passphrase it is public: it only detects damage.
Result<SecretBytes> derive_key(const Header& header, Passphrase passphrase) {
  if (header.kdf == Kdf::kNone) {
    return SecretBytes::copy_of(domain_hash("coshard/keyfile-open/v1", {header.salt}));
  }
  if (!passphrase || passphrase->empty()) {
    return fail(ErrorCode::kFailedPrecondition, "this key file needs its passphrase");
  }
  COSHARD_TRY(check_cost(header.cost));
  SecretBytes key(kAeadKeyBytes);
  if (crypto_pwhash_argon2id(key.writable().data(), key.size(), passphrase->data(),
                             passphrase->size(), header.salt.data(), header.cost.passes,
                             static_cast<std::size_t>(header.cost.memory_bytes),
                             crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0) {
    return fail(ErrorCode::kResourceExhausted,
                "not enough memory for Argon2id: " + std::to_string(header.cost.memory_bytes) +
                    " bytes are needed");
  }
  return key;
}

std::string errno_text() { return std::generic_category().message(errno); }

class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

Result<Bytes> read_private_file(const std::filesystem::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) {
    const ErrorCode code = errno == ENOENT   ? ErrorCode::kNotFound
                           : errno == EACCES ? ErrorCode::kPermissionDenied
                                             : ErrorCode::kUnavailable;
    return fail(code, "key file " + path.string() + ": " + errno_text());
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(ErrorCode::kInvalidArgument, "key file " + path.string() + ": not a regular file");
  }
  if ((status.st_mode & 077) != 0) {
    return fail(
        ErrorCode::kPermissionDenied,
        "key file " + path.string() + " can be read by others; run: chmod 600 " + path.string());
  }
  Bytes out(limits::kKeyFileBytesMax + 1);
  std::size_t used = 0;
  while (used < out.size()) {
    const ssize_t got = ::read(file.get(), out.data() + used, out.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(ErrorCode::kUnavailable, path.string() + ": " + errno_text());
    if (got == 0) break;
    used += static_cast<std::size_t>(got);
  }
  out.resize(used);
  return out;
}

Result<void> write_all(int descriptor, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return fail(ErrorCode::kUnavailable, "write: " + errno_text());
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  if (::fsync(descriptor) != 0) return fail(ErrorCode::kUnavailable, "fsync: " + errno_text());
  return {};
}

/// Gives the finished temporary file its name, unless the name is taken: link() never replaces.
Result<void> publish_new(const std::filesystem::path& temporary,
                         const std::filesystem::path& path) {
  const int linked = ::link(temporary.c_str(), path.c_str());
  const int reason = errno;
  ::unlink(temporary.c_str());
  if (linked != 0) {
    if (reason == EEXIST) {
      return fail(ErrorCode::kFailedPrecondition,
                  "key file " + path.string() + " exists already and keys are never overwritten");
    }
    return fail(ErrorCode::kUnavailable,
                "key file " + path.string() + ": " + std::generic_category().message(reason));
  }
  const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
  const FileDescriptor folder(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0 || ::fsync(folder.get()) != 0) {
    return fail(ErrorCode::kUnavailable, parent.string() + ": " + errno_text());
  }
  return {};
}

}  // namespace

Result<Bytes> seal_secret(ByteView secret, Passphrase passphrase, KdfCost cost) {
  if (passphrase && passphrase->empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "an empty passphrase protects nothing; choose one or use --no-passphrase");
  }
  Header header;
  header.kdf = passphrase ? Kdf::kArgon2id13 : Kdf::kNone;
  header.cost = passphrase ? cost : KdfCost{0, 0};
  const auto salt = random_array<kSaltBytes>();
  header.salt = salt;
  header.nonce = random_array<sizeof(AeadNonce)>();
  Bytes file;
  append(file, as_bytes(kMagic));
  file.push_back(kVersion);
  file.push_back(static_cast<std::uint8_t>(header.kdf));
  put_be<std::uint64_t>(file, header.cost.passes);
  put_be<std::uint64_t>(file, header.cost.memory_bytes);
  append(file, header.salt);
  append(file, header.nonce);
  COSHARD_ASSIGN(const SecretBytes key, derive_key(header, passphrase));
  const Bytes sealed = aead_seal(key.view(), header.nonce, file, secret);
  append(file, sealed);
  return file;
}

Result<SecretBytes> open_secret(ByteView file, Passphrase passphrase) {
  ensure_sodium();
  COSHARD_ASSIGN(const Header header, parse_header(file));
  COSHARD_ASSIGN(const SecretBytes key, derive_key(header, passphrase));
  auto secret =
      aead_open(key.view(), header.nonce, file.first(kHeaderBytes), file.subspan(kHeaderBytes));
  if (!secret) {
    return fail(header.kdf == Kdf::kNone ? ErrorCode::kCorruption : ErrorCode::kPermissionDenied,
                header.kdf == Kdf::kNone ? "the key file is damaged"
                                         : "wrong passphrase, or the key file is damaged");
  }
  return secret;
}

Result<void> write_secret_file(const std::filesystem::path& path, ByteView secret,
                               Passphrase passphrase, KdfCost cost) {
  std::error_code ignored;
  if (std::filesystem::exists(std::filesystem::symlink_status(path, ignored))) {
    return fail(ErrorCode::kFailedPrecondition,
                "key file " + path.string() + " exists already and keys are never overwritten");
  }
  COSHARD_ASSIGN(const Bytes bytes, seal_secret(secret, passphrase, cost));
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), ignored);
  const std::filesystem::path temporary = path.string() + ".new-" + to_hex(random_array<8>());
  const FileDescriptor file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.get() < 0) {
    return fail(ErrorCode::kUnavailable, "key file " + temporary.string() + ": " + errno_text());
  }
  if (auto written = write_all(file.get(), bytes); !written) {
    ::unlink(temporary.c_str());
    return tl::unexpected<Error>(written.error().within("key file " + path.string()));
  }
  return publish_new(temporary, path);
}

Result<SecretBytes> read_secret_file(const std::filesystem::path& path, Passphrase passphrase) {
  COSHARD_ASSIGN(const Bytes bytes, read_private_file(path));
  auto secret = open_secret(bytes, passphrase);
  if (!secret) return tl::unexpected<Error>(secret.error().within("key file " + path.string()));
  return secret;
}

Result<bool> needs_passphrase(const std::filesystem::path& path) {
  COSHARD_ASSIGN(const Bytes bytes, read_private_file(path));
  auto header = parse_header(bytes);
  if (!header) return tl::unexpected<Error>(header.error().within("key file " + path.string()));
  return header->kdf != Kdf::kNone;
}

Result<void> save_identity(const std::filesystem::path& path, const Identity& identity,
                           Passphrase passphrase, KdfCost cost) {
  return write_secret_file(path, identity.encode_secret().view(), passphrase, cost);
}

Result<Identity> load_identity(const std::filesystem::path& path, Passphrase passphrase) {
  COSHARD_ASSIGN(const SecretBytes secret, read_secret_file(path, passphrase));
  return Identity::decode_secret(secret.view());
}

}  // namespace coshard::crypto
