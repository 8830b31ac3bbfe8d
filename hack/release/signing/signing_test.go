package signing

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func keys(t *testing.T) (private, public *Key) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := Generate(file); err != nil {
		t.Fatal(err)
	}
	if err := Generate(file); err == nil {
		t.Error("an existing key was overwritten")
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the private key: %v, %v", info.Mode(), err)
	}
	private, err = Load(file)
	if err != nil {
		t.Fatal(err)
	}
	public, err = Load(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

// TestProvenance checks that verification fails for another key and for a changed envelope, and
// that two envelopes with the same content are identical.
func TestProvenance(t *testing.T) {
	private, public := keys(t)
	_, other := keys(t)
	origin := Origin{Version: "0.1.0", Repository: "registry.example", Commit: strings.Repeat("a", 40), Go: "go1.26.6"}
	artefacts := map[string]string{"a": strings.Repeat("0", 64), "b": strings.Repeat("1", 64)}
	envelope, err := Attest(t.Context(), private, origin, artefacts)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Attest(t.Context(), private, origin, artefacts)
	if err != nil || !bytes.Equal(again, envelope) {
		t.Errorf("two envelopes differ: %v", err)
	}
	gotOrigin, gotArtefacts, err := Verify(t.Context(), public, envelope)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(origin, *gotOrigin) + cmp.Diff(artefacts, gotArtefacts); diff != "" {
		t.Errorf("-signed +verified:\n%s", diff)
	}
	if _, _, err := Verify(t.Context(), other, envelope); err == nil {
		t.Error("another key verifies the envelope")
	}
	if _, err := Attest(t.Context(), public, origin, artefacts); err == nil {
		t.Error("a public key can sign")
	}
}

// TestUnusableKeys checks the errors for files that contain no Ed25519 key.
func TestUnusableKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if _, err := Load(file); err == nil {
		t.Error("a missing file is a key")
	}
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err == nil {
		t.Error("a text is a key")
	}
}
