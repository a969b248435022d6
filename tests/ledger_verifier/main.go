// Verifies a coshard ledger with nothing of coshard's: only the public formats (C2SP signed note, tlog-tiles) as
// golang.org/x/mod implements them (sumdb/note, sumdb/tlog). Checks the checkpoint's signature, every leaf against the
// tiles, every inclusion proof, and consistency from earlier sizes.
//
//	verify DIR [VKEY]     VKEY: the log's key, default the file DIR/log.vkey
//
// SPDX-License-Identifier: Apache-2.0
package main

import (
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

// open checks the checkpoint's signature and reads its three lines.
func open(dir folder, vkey string) (tlog.Tree, error) {
	var tree tlog.Tree
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tree, fmt.Errorf("log.vkey: %w", err)
	}
	bytes, err := dir.read("checkpoint")
	if err != nil {
		return tree, err
	}
	opened, err := note.Open(bytes, note.VerifierList(verifier))
	if err != nil {
		return tree, fmt.Errorf("checkpoint: %w", err)
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
	for i, leaf := range leaves {
		hash := tlog.RecordHash(leaf)
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

func verify(dir folder, vkey string) (tlog.Tree, error) {
	tree, err := open(dir, vkey)
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
	return tree, checkConsistency(tree, hashes, 1+tree.N/100)
}

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		fmt.Fprintln(os.Stderr, "usage: verify DIR [VKEY]")
		os.Exit(2)
	}
	dir := folder(os.Args[1])
	vkey := ""
	if len(os.Args) == 3 {
		vkey = os.Args[2]
	} else if bytes, err := dir.read("log.vkey"); err == nil {
		vkey = strings.TrimSuffix(string(bytes), "\n")
	} else {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(2)
	}
	tree, err := verify(dir, vkey)
	if err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
	fmt.Printf("verified by golang.org/x/mod: %d entries, root %v\n", tree.N, tree.Hash)
}
