// Writes the seeds of the ledger's and the key file's fuzz targets: make_ledger_seeds CORPUS.
// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>

#include "crypto/secret_file.h"
#include "ledger/merkle.h"
#include "ledger/proof_file.h"
#include "ledger/tiles.h"
#include "tests/fuzz/fuzz_keys.h"
#include "tests/support/random_ledger.h"
#include "tests/unit/ledger/toy_log.h"

namespace {

using namespace coshard;
using namespace coshard::ledger;

std::filesystem::path corpus;

void seed(const std::string& target, const std::string& name, ByteView bytes) {
  std::filesystem::create_directories(corpus / target);
  std::ofstream(corpus / target / name, std::ios::binary) << as_text(bytes);
}

void seed_entries(SmallRound& round) {
  const auto entries = round.store->read(0, *round.store->size());
  std::vector<Hash> leaves;
  for (const Bytes& entry : *entries) leaves.push_back(leaf_hash(entry));
  Bytes proof;
  put_le<std::uint64_t>(proof, 2);
  put_le<std::uint64_t>(proof, 3);
  put_le<std::uint64_t>(proof, leaves.size());
  append(proof, leaves[2]);
  append(proof, root_of(leaves));
  for (const Hash& hash : inclusion_path(leaves, LogIndex(2))) append(proof, hash);
  seed("ledger_proof", "inclusion", proof);
  proof.resize(24);
  append(proof, root_of(std::span(leaves).first(3)));
  append(proof, root_of(leaves));
  for (const Hash& hash : consistency_path(leaves, 3)) append(proof, hash);
  seed("ledger_proof", "consistency", proof);
  const Bytes bundle = encode_bundle(std::span(*entries).last(3));
  seed("ledger_tile_path", "bundle", bundle);
}

/// One of each kind: bodies of the log that ledger_entry_fuzz goes on with, where it has them.
void seed_kinds() {
  for (const std::uint64_t number : {5u, 4u, 2u, 1u, 3u}) {
    coshard::test::RandomLedger ledger(number);
    for (int i = 0; i < 300; ++i) {
      const auto& entry = ledger.next();
      const std::string name(to_string(type_of(decode_body(entry.body.body)->leaf)));
      seed("ledger_entry", name, entry.encoded);
      seed("ledger_entry", "body_" + name, entry.body.body);
    }
  }
}

void seed_windows(const SmallRound& round) {
  ReceiptChain chain(NetworkId{}, round.nodes[0].node(), Incarnation(1));
  TensorSent sent;
  sent.stage_to = StageIndex(1);
  sent.receiver = round.nodes[1].node();
  sent.shape = {8, 128, 128};
  std::vector<Receipt> receipts;
  TensorsReceived received;
  for (std::uint32_t m = 0; m < 2; ++m) {
    const Unit unit{StepId(1), MicrobatchIndex(m), StageIndex(0), Attempt(0)};
    receipts.push_back(chain.make_receipt(unit, sent));
    received.record(round.nodes[0].node(), unit, Direction::kForward,
                    {sent.dtype, sent.encoding, sent.shape, 0, Hash{}, true});
  }
  const SignedWindow window = sign_window(round.nodes[0].operating(), receipts, 0);
  seed("ledger_window", "signed", encode(window));
  seed("ledger_window", "receipt", window.receipts[0]);
  seed("ledger_window", "countersigned",
       encode(*countersign(round.nodes[1].operating(), NetworkId{}, window, received)));
}

/// What readers and witnesses are handed: a policy, a request, a proof, a fork.
void seed_witnesses() {
  ToyLog log(9), fork(5);
  fork.grow(4, "another story ");
  const ToyWitness a(1, log), b(2, log), c(3, log);
  const auto text = [](const std::string& target, const std::string& name,
                       const std::string& body) { seed(target, name, as_bytes(body)); };
  text("ledger_policy", "two_of_three", policy_text(log, {&a, &b, &c}, 2));
  text("ledger_policy", "none", "# nobody\nlog " + log.note_key().vkey() + "\nquorum none\n");
  text("ledger_witness", "first", log.request(0, 5).format());
  text("ledger_witness", "next", log.request(5, 9).format());
  text("ledger_witness", "cosigned", log.note() + a.line(log.checkpoint(9).text()));
  text(
      "ledger_witness", "proof",
      ProofFile{log.entries[2], LogIndex(2), inclusion_path(log.hashes, 9, LogIndex(2)), log.note()}
          .format());
  text("ledger_witness", "fork",
       ForkEvidence{log.note_key(), log.note(7), fork.note(9), whole_path(fork.hashes, 9, 7)}
           .format());
  text("http_range", "one", "bytes=0-499");
  text("http_range", "many", "bytes=0-0,5-6,-1");
}

/// What is posted to a coordinator's ledger, one of each form.
void seed_requests() {
  const crypto::KeyPair key = fuzz::sender_keys();
  const AccountId own = crypto::account_id(key.public_key());
  const SignedBody gift = sign_body(key, fuzz::kNetwork, 1,
                                    UnitTransfer{own, AccountId{{7}}, 5, 0, LogIndex{}, "gift"});
  const SignedBody batch = sign_body(key, fuzz::kNetwork, 1, WorkBatch{});
  const Leaf loose = IdentityRegister{SmallRound().nodes[0].certificate().encode()};
  seed("ledger_request", "signed", encode_request(fuzz::kNetwork, gift));
  seed("ledger_request", "loose", encode_request(fuzz::kNetwork, loose));
  seed("ledger_request", "operator",
       encode_request(fuzz::kNetwork, key, LogIndex(3),
                      {RevenueReported{1'000, "INV-1", {}}, PayoutFinal{own, 1, true, "wire"}}));
  seed("ledger_request", "batch", encode(batch));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  corpus = argv[1];
  seed_witnesses();
  seed_requests();
  SmallRound round;
  auto ledger = round.begin();
  if (!ledger || !round.run_epoch(*ledger, 0, 1, 10) || !ledger->post(StepId(10), round.shards()) ||
      !ledger->burn_rest("end") || !ledger->publish()) {
    return 1;
  }
  seed_entries(round);
  seed_kinds();
  seed_windows(round);
  auto& files = static_cast<MemoryFolder&>(*round.folder).files;
  seed("ledger_units_file", "epoch_0", files.at("units/0"));
  seed("ledger_checkpoint", "small", as_bytes(Checkpoint{"o", 3, Hash{}}.text()));
  seed("ledger_note", "vkey", files.at("log.vkey"));
  seed("ledger_note", "checkpoint", files.at("checkpoint"));
  for (const char* path : {"tile/0/x001/x234/067", "tile/entries/000.p/17", "tile/7/999"}) {
    seed("ledger_tile_path", std::to_string(std::string(path).size()), as_bytes(path));
  }
  const auto secret = round.nodes[0].encode_secret();
  seed("crypto_key_file", "open", *crypto::seal_secret(secret.view(), std::nullopt));
  seed("crypto_key_file", "sealed",
       *crypto::seal_secret(secret.view(), "passphrase", crypto::KdfCost::cheap()));
  const auto box = round.nodes[0].without_root().encode_secret();
  seed("crypto_key_file", "box", *crypto::seal_secret(box.view(), std::nullopt));
  seed("crypto_key_file", "certificate", round.nodes[0].certificate().encode());
  return 0;
}
