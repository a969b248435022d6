// Addresses, ranges, and questions over HTTPS to a server whose certificate the test makes.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <httplib.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <memory>
#include <thread>

#include "node/http_range.h"
#include "node/web_client.h"
#include "node/web_url.h"
#include "tests/support/process.h"

namespace coshard::node {
namespace {

TEST(WebUrl, IsReadStrictly) {
  const auto url = parse_web_url("https://log.example.org:443/ledger/small/");
  ASSERT_TRUE(url.has_value());
  EXPECT_EQ(url->base, "https://log.example.org:443");
  EXPECT_EQ(url->path, "/ledger/small");
  EXPECT_EQ(parse_web_url("http://127.0.0.1:80")->path, "");
  for (const char* bad : {"", "ftp://x", "http://", "https:///x", "http://a b", "http://a\r\nX: y",
                          "http://user@host", "http://h?q", "/tmp/ledger"}) {
    EXPECT_FALSE(parse_web_url(bad).has_value()) << bad;
  }
  EXPECT_TRUE(is_web_url("https://x"));
  EXPECT_FALSE(is_web_url("ledger"));
  EXPECT_EQ(parse_host_port("0.0.0.0:4700")->port, 4700);
  for (const char* bad : {"", "host", ":80", "h:", "h:65536", "h:-1", "h:8x"})
    EXPECT_FALSE(parse_host_port(bad).has_value()) << bad;
}

TEST(HttpRange, OneAtATime) {
  for (const char* good : {"bytes=0-0", "bytes=5-", "bytes=-5", "bytes=0-999999999999999999"})
    EXPECT_TRUE(is_one_range(good)) << good;
  for (const char* bad :
       {"", "bytes=", "bytes=-", "bytes=0-1,2-3", "bytes=0-1,", "bytes=2-1", "bytes=a-b",
        "lines=0-1", "bytes=0-1-2", "bytes= 0-1", "bytes=+1-2", "bytes=0-9999999999999999999"})
    EXPECT_FALSE(is_one_range(bad)) << bad;
}

/// A self-signed certificate for 127.0.0.1, valid for an hour, in two files.
void write_certificate(const std::filesystem::path& certificate, const std::filesystem::path& key) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> pair(EVP_EC_gen("P-256"),
                                                                 EVP_PKEY_free);
  const std::unique_ptr<X509, decltype(&X509_free)> x509(X509_new(), X509_free);
  ASN1_INTEGER_set(X509_get_serialNumber(x509.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(x509.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(x509.get()), 3600);
  X509_set_version(x509.get(), 2);
  X509_set_pubkey(x509.get(), pair.get());
  X509_NAME* const name = X509_get_subject_name(x509.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("127.0.0.1"), -1, -1, 0);
  X509_set_issuer_name(x509.get(), name);
  X509_EXTENSION* const alt =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
  X509_add_ext(x509.get(), alt, -1);
  X509_EXTENSION_free(alt);
  X509_sign(x509.get(), pair.get(), EVP_sha256());
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new_file(certificate.c_str(), "w"),
                                                      BIO_free);
  PEM_write_bio_X509(out.get(), x509.get());
  const std::unique_ptr<BIO, decltype(&BIO_free)> secret(BIO_new_file(key.c_str(), "w"), BIO_free);
  PEM_write_bio_PrivateKey(secret.get(), pair.get(), nullptr, nullptr, 0, nullptr, nullptr);
}

class HttpsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write_certificate(dir / "certificate.pem", dir / "key.pem");
    server = std::make_unique<httplib::SSLServer>((dir / "certificate.pem").c_str(),
                                                  (dir / "key.pem").c_str());
    server->Get("/checkpoint", [](const httplib::Request&, httplib::Response& response) {
      response.set_content("note", "text/plain");
    });
    server->Post("/add-checkpoint", [](const httplib::Request& request, httplib::Response& answer) {
      answer.status = 409;
      answer.set_content(std::to_string(request.body.size()) + "\n", "text/x.tlog.size");
    });
    port = server->bind_to_any_port("127.0.0.1");
    thread = std::thread([this] { server->listen_after_bind(); });
    while (!server->is_running()) std::this_thread::yield();
  }
  void TearDown() override {
    unsetenv("SSL_CERT_FILE");
    server->stop();
    thread.join();
  }
  WebQuestion question(const std::string& path) const {
    return {"https://127.0.0.1:" + std::to_string(port), path};
  }
  test::TempDir dir;
  std::unique_ptr<httplib::SSLServer> server;
  std::thread thread;
  int port = 0;
};

TEST_F(HttpsTest, AnswersUnderACertificateThatIsTrusted) {
  setenv("SSL_CERT_FILE", (dir / "certificate.pem").c_str(), 1);
  const auto answer = web_get(question("/checkpoint"));
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(answer->body, "note");
  const auto posted = web_post(question("/add-checkpoint"), "old 0\n");
  ASSERT_TRUE(posted.has_value()) << posted.error().message;
  EXPECT_EQ(posted->status, 409);
  EXPECT_EQ(posted->body, "6\n");
}

TEST_F(HttpsTest, RefusesACertificateThatNobodyVouchesFor) {
  const auto answer = web_get(question("/checkpoint"));
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
}

TEST_F(HttpsTest, TooLongAnAnswerIsRefused) {
  setenv("SSL_CERT_FILE", (dir / "certificate.pem").c_str(), 1);
  WebQuestion small = question("/checkpoint");
  small.body_bytes_max = 3;
  EXPECT_EQ(web_get(small).error().code, ErrorCode::kResourceExhausted);
}

}  // namespace
}  // namespace coshard::node
