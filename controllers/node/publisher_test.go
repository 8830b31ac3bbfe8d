package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

func testPublisher(t *testing.T, w *world, dir string) *publisher {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPublisher(w, dir, m, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	p.published = func(publication) {}
	return p
}

// TestTreeIsGone: a tree that somebody removed is published again although nothing
// changes, and as a newer one. Whatever is newer than the agent's own stays.
func TestTreeIsGone(t *testing.T) {
	dir := t.TempDir()
	current := filepath.Join(dir, "tree", "current")
	p := testPublisher(t, newWorld("gone"), dir)
	p.step()
	for name, remove := range map[string]func() error{
		"the folder":      func() error { return os.RemoveAll(filepath.Dir(current)) },
		"the symlink":     func() error { return os.Remove(current) },
		"the file":        func() error { path, err := filepath.EvalSymlinks(current); return errors.Join(err, os.Remove(path)) },
		"another symlink": func() error { return errors.Join(os.Remove(current), os.Symlink("elsewhere", current)) },
	} {
		before := p.lastPublication().generation
		if err := remove(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p.look()
		p.step()
		found, err := statedir.OpenCurrent(dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if found.Generation() <= before {
			t.Errorf("%s: generation %d after %d", name, found.Generation(), before)
		}
		if err := found.Close(); err != nil {
			t.Error(err)
		}
	}
	newer, err := statedir.NewPublisher(dir)
	if err != nil {
		t.Fatal(err)
	}
	generation, err := newer.Publish(build.New("gone"))
	if err != nil {
		t.Fatal(err)
	}
	p.look()
	p.step()
	if found, err := statedir.Published(dir); err != nil || found != generation {
		t.Errorf("generation %d, %v, want %d of somebody else", found, err, generation)
	}
}

// TestPendingWhileNothingCanBeWritten: a cluster that changes while no tree can
// be written costs no memory, and a tree comes as soon as one can.
func TestPendingWhileNothingCanBeWritten(t *testing.T) {
	dir := t.TempDir()
	w := newWorld("full")
	p := testPublisher(t, w, dir)
	published := 0
	p.published = func(publication) { published++ }
	// Something that is not a directory is in the way, also for root.
	trees := filepath.Join(dir, "tree")
	if err := os.Remove(trees); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(trees, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		for range 1000 {
			w.waiting = append(w.waiting, time.Now())
		}
		p.step()
	}
	if p.check(nil) == nil || published != 0 {
		t.Fatalf("check: %v, %d published, want an error and none", p.check(nil), published)
	}
	if n := len(p.pending); n > maxPending {
		t.Errorf("%d events pending, want at most %d", n, maxPending)
	}
	if err := os.Remove(trees); err != nil {
		t.Fatal(err)
	}
	p.step()
	if err := p.check(nil); err != nil || published != 1 || len(p.pending) != 0 {
		t.Errorf("check: %v, %d published, %d pending; want nil, 1, 0", err, published, len(p.pending))
	}
}
