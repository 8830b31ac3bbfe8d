package statedir_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluicenet/sluice/dataplane/statedir"
)

func TestPublishedReadsTheGenerationOfTheSymlink(t *testing.T) {
	dir := t.TempDir()
	if g, err := statedir.Published(dir); g != 0 || err != nil {
		t.Errorf("nothing published: %d, %v", g, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "tree"), 0o755); err != nil {
		t.Fatal(err)
	}
	current := filepath.Join(dir, "tree", "current")
	for target, want := range map[string]uint64{"7.tree": 7, "/elsewhere/8.tree": 8, "tree": 0, "-1.tree": 0, "07.tree": 0} {
		if err := os.Symlink(target, current); err != nil {
			t.Fatal(err)
		}
		if g, err := statedir.Published(dir); g != want || (err == nil) != (want != 0) {
			t.Errorf("%s: %d, %v, want %d", target, g, err, want)
		}
		if err := os.Remove(current); err != nil {
			t.Fatal(err)
		}
	}
}
