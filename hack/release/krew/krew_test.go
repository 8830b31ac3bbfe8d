package krew_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/hack/release/krew"
)

var archives = []krew.Archive{
	{System: "linux", Architecture: "amd64", Name: "a.tar.gz", SHA256: "01", Program: "sluice"},
	{System: "windows", Architecture: "amd64", Name: "b.zip", SHA256: "02", Program: "sluice.exe"},
}

// manifest returns a manifest of version 0.1.0 with the archives.
func manifest(t *testing.T) string {
	t.Helper()
	text, err := krew.Write("0.1.0", "https://downloads.example/v0.1.0", archives)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRead(t *testing.T) {
	got, err := krew.Read([]byte(manifest(t)), "0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(archives, got); diff != "" {
		t.Errorf("archives (-written +read):\n%s", diff)
	}
}

// TestReadRejectsWrongManifests replaces a text in a manifest.
func TestReadRejectsWrongManifests(t *testing.T) {
	for name, test := range map[string]struct{ old, replacement, want string }{
		"a field":            {"sha256", "md5", "unknown field"},
		"the version":        {"version: v0.1.0", "version: v0.2.0", "is for version 0.2.0, want 0.1.0"},
		"a platform":         {"os: windows", "os: linux", "lists two archives for linux/amd64"},
		"a host":             {"downloads.example/v0.1.0/b", "other.example/v0.1.0/b", "in two directories, https://downloads.example/v0.1.0 and https://other.example/v0.1.0"},
		"one directory":      {"/v0.1.0/b", "/v0.2.0/b", "in two directories, https://downloads.example/v0.1.0 and https://downloads.example/v0.2.0"},
		"both directories":   {"/v0.1.0/", "/v0.2.0/", "in the directory \"https://downloads.example/v0.2.0\", which is not for version 0.1.0"},
		"no directory":       {"https://downloads.example/v0.1.0/", "", "in the directory \"\", which is not for version 0.1.0"},
		"a longer version":   {"/v0.1.0/", "/v0.1.0.1/", "which is not for version 0.1.0"},
		"a longer directory": {"/v0.1.0/", "/rev0.1.0/", "which is not for version 0.1.0"},
	} {
		changed := strings.ReplaceAll(manifest(t), test.old, test.replacement)
		if _, err := krew.Read([]byte(changed), "0.1.0"); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: the error is %v, want %q", name, err, test.want)
		}
	}
}
