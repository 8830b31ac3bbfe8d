package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/hack/release/krew"
	"github.com/sluicenet/sluice/hack/release/pack"
)

func clients(t *testing.T) []platform {
	t.Helper()
	platforms, err := parsePlatforms(defaultClients)
	if err != nil {
		t.Fatal(err)
	}
	return platforms
}

// TestArchiveNames checks the names of the archives of a release.
func TestArchiveNames(t *testing.T) {
	var got []string
	for _, p := range append(nodePlatforms(), clients(t)...) {
		got = append(got, p.archive("0.1.0")+" "+p.program())
	}
	want := []string{
		"sluice_0.1.0_linux_amd64.tar.gz sluice", "sluice_0.1.0_linux_arm64.tar.gz sluice",
		"sluice_0.1.0_darwin_amd64.tar.gz sluice", "sluice_0.1.0_darwin_arm64.tar.gz sluice",
		"sluice_0.1.0_windows_amd64.zip sluice.exe",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("archives (-want +got):\n%s", diff)
	}
	if _, err := parsePlatforms("windows"); err == nil {
		t.Error("no error for a platform without an architecture")
	}
}

// written writes archives and their manifest for Krew to a new directory.
func written(t *testing.T, platforms []platform) (directory string, sums map[string]string) {
	t.Helper()
	directory, sums = t.TempDir(), map[string]string{}
	var archives []krew.Archive
	for _, p := range platforms {
		others := map[string]pack.File{"LICENSE": {Content: []byte("text")}}
		content, err := p.pack([]byte(p.file()), others, time.Unix(1_700_000_000, 0))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := p.pack([]byte(p.file()), others, time.Unix(1_700_000_000, 0)); err != nil || !bytes.Equal(content, again) {
			t.Errorf("two archives for %v differ, %v", p, err)
		}
		name := p.archive("0.1.0")
		write(t, content, directory, name)
		sum := sha256.Sum256(content)
		sums[name] = hex.EncodeToString(sum[:])
		archives = append(archives, krew.Archive{System: p.system, Architecture: p.architecture, Name: name, SHA256: sums[name], Program: p.program()})
	}
	manifest, err := krew.Write("0.1.0", "https://downloads.example/v0.1.0", archives)
	if err != nil {
		t.Fatal(err)
	}
	write(t, manifest, directory, krewFile)
	return directory, sums
}

func write(t *testing.T, content []byte, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestArchives writes and verifies archives for all platforms.
func TestArchives(t *testing.T) {
	platforms := append(nodePlatforms(), clients(t)...)
	directory, sums := written(t, platforms)
	got, err := verifyArchives(directory, "0.1.0", sums)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(platforms, got, cmp.AllowUnexported(platform{})); diff != "" {
		t.Errorf("platforms (-want +got):\n%s", diff)
	}
	for _, p := range platforms {
		if program, err := p.unpack(directory, "0.1.0"); err != nil || string(program) != p.file() {
			t.Errorf("%v: program %q, %v", p, program, err)
		}
	}
	if _, err := verifyArchives(directory, "0.2.0", sums); err == nil || !strings.Contains(err.Error(), "is for version 0.1.0") {
		t.Errorf("another version: %v", err)
	}
}

// TestWrongArchives checks that a manifest for Krew that differs from the archives is rejected.
func TestWrongArchives(t *testing.T) {
	for want, test := range map[string]struct {
		platforms []platform
		change    func(sums map[string]string)
	}{
		"differs from the archive": {nodePlatforms(), func(sums map[string]string) {
			sums["sluice_0.1.0_linux_arm64.tar.gz"] = strings.Repeat("0", 64)
		}},
		"does not list sluice_0.1.0_darwin_arm64.tar.gz": {nodePlatforms(), func(sums map[string]string) {
			sums["sluice_0.1.0_darwin_arm64.tar.gz"] = strings.Repeat("0", 64)
		}},
		"has no program for linux/amd64": {clients(t), func(map[string]string) {}},
		"lists no archives":              {nil, func(map[string]string) {}},
	} {
		directory, sums := written(t, test.platforms)
		test.change(sums)
		if _, err := verifyArchives(directory, "0.1.0", sums); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
}

// TestMissingProgram checks that an archive without the program is rejected.
func TestMissingProgram(t *testing.T) {
	directory, windows := t.TempDir(), platform{"windows", "amd64"}
	var out bytes.Buffer
	if err := pack.WriteZip(&out, map[string]pack.File{"sluice": {}}, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	write(t, out.Bytes(), directory, windows.archive("0.1.0"))
	if _, err := windows.unpack(directory, "0.1.0"); err == nil || !strings.Contains(err.Error(), "the program is missing") {
		t.Errorf("without the program: %v", err)
	}
}
