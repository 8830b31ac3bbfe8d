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

func testPublisher(t *testing.T, s *state, dir string) *publisher {
	t.Helper()
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPublisher(s, dir, m, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	p.published, p.checkFormat = func(publication) {}, func(uint64) error { return nil }
	p.startLeading()
	return p
}

// TestMissingTreeIsPublishedAgain removes the current tree in several ways. Each time, the
// agent must publish the tree again with a higher generation, although no object has changed.
// If another publisher has published a tree with a higher generation, the agent must keep that
// tree.
func TestMissingTreeIsPublishedAgain(t *testing.T) {
	dir := t.TempDir()
	current := filepath.Join(dir, "tree", "current")
	p := testPublisher(t, newState("gone"), dir)
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
		p.checkPublished()
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
	p.checkPublished()
	p.step()
	if found, err := statedir.Published(dir); err != nil || found != generation {
		t.Errorf("generation %d, %v, want %d of the other publisher", found, err, generation)
	}
}

// TestPendingEventsAreBounded checks that the number of pending events is bounded while the
// agent cannot write trees. As soon as the agent can write trees again, it must publish one.
func TestPendingEventsAreBounded(t *testing.T) {
	dir := t.TempDir()
	s := newState("full")
	p := testPublisher(t, s, dir)
	published := 0
	p.published = func(publication) { published++ }
	// A file with the name of the directory makes writes fail, even for root.
	trees := filepath.Join(dir, "tree")
	if err := os.Remove(trees); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(trees, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		for range 1000 {
			s.waiting = append(s.waiting, time.Now())
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
