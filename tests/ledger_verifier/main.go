// Verifies a coshard ledger with nothing of coshard's: only the public formats (C2SP signed note, tlog-tiles) as
// golang.org/x/mod implements them (sumdb/note, sumdb/tlog). Checks the checkpoint's signature, every leaf against the
// tiles, every inclusion proof, and consistency from earlier sizes.
//
//	verify DIR [VKEY [WITNESS_VKEY...]]     VKEY: the log's key, default the file DIR/log.vkey; each witness must have cosigned
//
// Of a log of more than 4,096 entries every 97th inclusion proof and consistency from every 61st size; of a smaller one every
// proof.
//
// SPDX-License-Identifier: Apache-2.0
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	height = 8
	width  = 1 << height
)

// folder reads tiles from DIR/tile/<L>/<N>; x/mod calls the same tile tile/8/<L>/<N>.
type folder string

func (f folder) Height() int                      { return height }
func (f folder) SaveTiles([]tlog.Tile, [][]byte)  {}
func (f folder) read(path string) ([]byte, error) { return os.ReadFile(filepath.Join(string(f), path)) }
func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(tiles))
	for i, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		bytes, err := f.read(path)
		if err != nil {
			return nil, err
		}
		out[i] = bytes
	}
	return out, nil
}

// cosigner verifies cosignature/v1 (c2sp.org/tlog-cosignature), which golang.org/x/mod does not know.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.hash }
func (c cosigner) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(sig), text)
	return ed25519.Verify(c.key, []byte(message), sig[8:])
}

func newCosigner(vkey string) (cosigner, error) {
	var out cosigner
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) != 3 {
		return out, errors.New("witness key: name+hash+base64 was expected")
	}
	typed, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(typed) != 33 || typed[0] != 4 {
		return out, errors.New("witness key: type 4 was expected")
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), typed...))
	out = cosigner{parts[0], binary.BigEndian.Uint32(sum[:]), ed25519.PublicKey(typed[1:])}
	if fmt.Sprintf("%08x", out.hash) != parts[1] {
		return out, errors.New("witness key: wrong hash")
	}
	return out, nil
}

// open checks the checkpoint's signature, and those of the witnesses, and reads its three lines.
func open(dir folder, vkey string, witnesses []string) (tlog.Tree, error) {
	var tree tlog.Tree
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tree, fmt.Errorf("log.vkey: %w", err)
	}
	bytes, err := dir.read("checkpoint")
	if err != nil {
		return tree, err
	}
	verifiers := []note.Verifier{verifier}
	for _, witness := range witnesses {
		one, err := newCosigner(witness)
		if err != nil {
			return tree, err
		}
		verifiers = append(verifiers, one)
	}
	opened, err := note.Open(bytes, note.VerifierList(verifiers...))
	if err != nil {
		return tree, fmt.Errorf("checkpoint: %w", err)
	}
	if len(opened.Sigs) != len(verifiers) {
		return tree, fmt.Errorf("checkpoint: %d known signatures were expected, found %d", len(verifiers), len(opened.Sigs))
	}
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() || lines[3] != "" {
		return tree, errors.New("checkpoint: origin, size and root were expected")
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, fmt.Errorf("checkpoint: %w", err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tree, errors.New("checkpoint: bad root")
	}
	copy(tree.Hash[:], root)
	return tree, nil
}

// entries reads every bundle: u16 big-endian length, then the entry.
func entries(dir folder, size int64) ([][]byte, error) {
	var out [][]byte
	for first := int64(0); first < size; first += width {
		tile := tlog.Tile{H: height, L: 0, N: first / width, W: width}
		if size-first < width {
			tile.W = int(size - first)
		}
		path := strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)
		bundle, err := dir.read(path)
		if err != nil {
			return nil, err
		}
		for i := 0; i < tile.W; i++ {
			if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
				return nil, fmt.Errorf("%s: entry %d is cut short", path, i)
			}
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			out = append(out, bundle[2:end])
			bundle = bundle[end:]
		}
		if len(bundle) != 0 {
			return nil, fmt.Errorf("%s: bytes are left over", path)
		}
	}
	return out, nil
}

func checkLeaves(tree tlog.Tree, hashes tlog.HashReader, leaves [][]byte) error {
	every := 1
	if len(leaves) > 4096 {
		every = 97
	}
	for first := 0; first < len(leaves); first += width {
		var indexes []int64
		for i := first; i < first+width && i < len(leaves); i++ {
			indexes = append(indexes, tlog.StoredHashIndex(0, int64(i)))
		}
		stored, err := hashes.ReadHashes(indexes)
		if err != nil {
			return fmt.Errorf("entry %d: %w", first, err)
		}
		for i, hash := range stored {
			if hash != tlog.RecordHash(leaves[first+i]) {
				return fmt.Errorf("entry %d does not hash to its leaf", first+i)
			}
		}
	}
	for i := 0; i < len(leaves); i += every {
		hash := tlog.RecordHash(leaves[i])
		proof, err := tlog.ProveRecord(tree.N, int64(i), hashes)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
		if err := tlog.CheckRecord(proof, tree.N, tree.Hash, int64(i), hash); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	return nil
}

func checkConsistency(tree tlog.Tree, hashes tlog.HashReader, every int64) error {
	for size := int64(1); size <= tree.N; size += every {
		older, err := tlog.TreeHash(size, hashes)
		if err != nil {
			return err
		}
		proof, err := tlog.ProveTree(tree.N, size, hashes)
		if err != nil {
			return fmt.Errorf("size %d: %w", size, err)
		}
		if err := tlog.CheckTree(proof, tree.N, tree.Hash, size, older); err != nil {
			return fmt.Errorf("size %d: %w", size, err)
		}
	}
	return nil
}

func verify(dir folder, vkey string, witnesses []string) (tlog.Tree, error) {
	tree, err := open(dir, vkey, witnesses)
	if err != nil {
		return tree, err
	}
	leaves, err := entries(dir, tree.N)
	if err != nil {
		return tree, err
	}
	hashes := tlog.TileHashReader(tree, dir)
	if err := checkLeaves(tree, hashes, leaves); err != nil {
		return tree, err
	}
	every := 1 + tree.N/100
	if tree.N > 4096 {
		every = 61
	}
	return tree, checkConsistency(tree, hashes, every)
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: verify DIR [VKEY [WITNESS_VKEY...]]")
		os.Exit(2)
	}
	dir := folder(os.Args[1])
	vkey := ""
	var witnesses []string
	if len(os.Args) >= 3 {
		vkey = os.Args[2]
		witnesses = os.Args[3:]
	} else if bytes, err := dir.read("log.vkey"); err == nil {
		vkey = strings.TrimSuffix(string(bytes), "\n")
	} else {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(2)
	}
	tree, err := verify(dir, vkey, witnesses)
	if err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
	fmt.Printf("verified by golang.org/x/mod: %d entries, root %v\n", tree.N, tree.Hash)
}
