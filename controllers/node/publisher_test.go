package node

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// TestPendingWhileNothingCanBeWritten: a cluster that changes while no tree can
// be written costs no memory, and a tree comes as soon as one can.
func TestPendingWhileNothingCanBeWritten(t *testing.T) {
	m, err := newMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := newWorld("full")
	p, err := newPublisher(w, dir, m, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
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
