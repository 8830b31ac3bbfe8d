package statedir_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/dataplane/statedir"
)

func TestMasksOfThisBoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	want := func(when string, want ...uint32) {
		t.Helper()
		if got, err := statedir.ReadMasks(dir); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: masks %#x, %v, want %#x", when, got, err, want)
		}
	}
	want("no directory")
	if err := statedir.WriteMasks(dir, []uint32{0x60, 0x30000}); err != nil {
		t.Fatal(err)
	}
	want("recorded", 0x60, 0x30000)
	content, err := os.ReadFile(statedir.Masks(dir))
	if err != nil {
		t.Fatal(err)
	}
	var record map[string]any
	if err := json.Unmarshal(content, &record); err != nil {
		t.Fatal(err)
	}
	earlier := strings.Replace(string(content), record["bootID"].(string), "another boot", 1)
	if err := os.WriteFile(statedir.Masks(dir), []byte(earlier), 0o600); err != nil {
		t.Fatal(err)
	}
	want("recorded before a reboot")
	if err := os.WriteFile(statedir.Masks(dir), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := statedir.ReadMasks(dir); err == nil || !strings.Contains(err.Error(), statedir.Masks(dir)) {
		t.Errorf("damaged: error %v, want one that names the file", err)
	}
	if err := statedir.RemoveMasks(dir); err != nil {
		t.Fatal(err)
	}
	want("removed")
}
