package ui_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// assetLimit is the maximum size of all assets in bytes. They are part of the binary of each node.
const assetLimit = 200_000

func TestAssetsAreSmall(t *testing.T) {
	entries, err := os.ReadDir("dist")
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	t.Logf("the assets have %d bytes", total)
	if total > assetLimit {
		t.Errorf("the assets have %d bytes, more than %d", total, assetLimit)
	}
}

// TestAssetsAreCurrent compares the digest of the sources with the digest that web/build.mjs stored.
// `make check-generated` builds the assets again and compares all of them.
func TestAssetsAreCurrent(t *testing.T) {
	names := []string{"build.mjs", "package.json", "package-lock.json", "tsconfig.json"}
	sources, err := filepath.Glob("web/src/*")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(sources)
	for _, name := range sources {
		names = append(names, strings.TrimPrefix(filepath.ToSlash(name), "web/"))
	}
	digest := sha256.New()
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join("web", name))
		if err != nil {
			t.Fatal(err)
		}
		digest.Write([]byte(name + "\n"))
		digest.Write(content)
	}
	stored, err := os.ReadFile("dist/sources.sha256")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(string(stored)); hex.EncodeToString(digest.Sum(nil)) != want {
		t.Error("the assets are out of date: run 'make ui' and commit the result")
	}
}
