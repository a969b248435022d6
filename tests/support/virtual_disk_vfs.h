// How SQLite writes on a VirtualDisk. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sqlite3.h>

#include <memory>

#include "tests/support/virtual_disk.h"

namespace coshard::test {

std::unique_ptr<sqlite3_vfs> register_virtual_vfs(VirtualDisk& disk);
void unregister_virtual_vfs(sqlite3_vfs& vfs);

}  // namespace coshard::test
