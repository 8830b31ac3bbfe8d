package statedir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

func TestShareLetsTheGroupPublish(t *testing.T) {
	for name, before := range map[string]func(dir string) error{
		"no directory":             func(string) error { return nil },
		"a directory":              func(dir string) error { return os.Mkdir(dir, 0o755) },
		"a private tree directory": func(dir string) error { return os.MkdirAll(filepath.Join(dir, "tree"), 0o700) },
		"a shared directory":       statedir.Share,
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			if err := errors.Join(before(dir), statedir.Share(dir)); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(dir, "tree"))
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != 0o775 {
				t.Errorf("mode %o, want 775", got)
			}
			if got := info.Sys().(*syscall.Stat_t).Gid; int(got) != os.Getegid() {
				t.Errorf("group %d, want %d", got, os.Getegid())
			}
		})
	}
}

func TestRemoveLeavesForeignFiles(t *testing.T) {
	dir := t.TempDir()
	if foreign, err := statedir.Remove(dir); err != nil || len(foreign) > 0 {
		t.Errorf("without a directory: %v, %v", foreign, err)
	}
	p, err := statedir.NewPublisher(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := p.Publish(build.New("node")); err != nil {
			t.Fatal(err)
		}
	}
	foreign := filepath.Join(dir, "tree", "notes")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := statedir.Remove(dir); err != nil || !slices.Equal(got, []string{foreign}) {
		t.Errorf("with a foreign file: %v, %v; want the path of the file", got, err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "tree")); err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v; want only the foreign file", entries, err)
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	if got, err := statedir.Remove(dir); err != nil || len(got) > 0 {
		t.Errorf("without the foreign file: %v, %v", got, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "tree")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory still exists: %v", err)
	}
}
