// The npm package itself loads what `coshard ownership --distributor` wrote, checks the tree and every proof.
// node distributor_test.mjs FILE; the package is looked for in .deps/node_modules (deploy/setup node). 77: not there.
// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";

let StandardMerkleTree;
try {
  ({ StandardMerkleTree } = await import(new URL("../../.deps/node_modules/@openzeppelin/merkle-tree/dist/index.js", import.meta.url)));
} catch (error) {
  console.error(`skipped: @openzeppelin/merkle-tree is not installed (deploy/setup node): ${error.message}`);
  process.exit(77);
}
const file = JSON.parse(readFileSync(process.argv[2]));
const tree = StandardMerkleTree.load(file);
tree.validate();
const again = StandardMerkleTree.of(file.values.map((one) => one.value), file.leafEncoding);
if (again.root !== tree.root) throw new Error(`the package makes root ${again.root}, found ${tree.root}`);
for (const [i, value] of tree.entries()) {
  if (!StandardMerkleTree.verify(tree.root, file.leafEncoding, value, tree.getProof(i))) throw new Error(`proof ${i}`);
}
console.log(`${file.values.length} owners, root ${tree.root}`);
