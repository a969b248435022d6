// One node of the virtual round: sealed shards, its own and those that it keeps. See
// virtual_node.h.
// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/virtual_node.h"

namespace coshard::simtest {

using namespace round;  // NOLINT: a test's shell speaks the machine's language throughout

namespace {

const Disks::File* find_file(const std::vector<Disks::File>& files, StageIndex stage, StepId step) {
  for (const auto& file : files)
    if (file.held.stage == stage && file.held.step == step) return &file;
  return nullptr;
}

}  // namespace

void VirtualRound::Node::execute(const SealShard& action) {
  later(world_.delay(50'000), [this, order = action.order] {
    ShardSealed answer{{order.step, order.stage, {}, 10}, ""};
    if (const auto* file = find_file(world_.disks_.files[index], order.stage, order.step)) {
      answer.sealed.file_hash = file->held.file_hash;
      world_.disks_.sealed[index].push_back(*file);
    } else {
      answer.error = "no such checkpoint";
    }
    handle(ShardHandled{answer});
  });
}

void VirtualRound::Node::execute(const KeepShard& action) {
  later(world_.delay(100'000), [this, order = action.order] {
    Node* holder = world_.find(order.holder);
    const auto* file =
        find_file(world_.disks_.sealed[holder->index], order.sealed.stage, order.sealed.step);
    const bool there = file != nullptr && holder->alive;
    if (there) world_.disks_.sealed[index].push_back(*file);
    handle(ShardHandled{{order.sealed, there ? "" : "its holder is gone"}});
  });
}

void VirtualRound::Node::execute(const RestoreShard& action) {
  later(world_.delay(100'000), [this, shard = action.shard] {
    Node* keeper = world_.find(shard.keeper);
    const auto* file =
        find_file(world_.disks_.sealed[keeper->index], shard.sealed.stage, shard.sealed.step);
    const bool there =
        file != nullptr && keeper->alive && file->held.file_hash == shard.opened_hash;
    if (there) world_.disks_.files[index].push_back(*file);
    handle(StateFetched{shard.sealed.step, there ? "" : "its keeper is gone"});
  });
}

}  // namespace coshard::simtest
