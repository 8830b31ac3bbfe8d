package statedir_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

// delivery contains the arguments of one call of the function `handle`.
type delivery struct {
	tree *tree.Tree
	err  error
}

// The function `watching` starts a call of Watch that runs until the test ends, and returns the
// deliveries.
func watching(t *testing.T, dir string) <-chan delivery {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	deliveries, ended := make(chan delivery), make(chan error, 1)
	go func() {
		ended <- statedir.Watch(ctx, dir, func(tr *tree.Tree, err error) {
			select {
			case deliveries <- delivery{tr, err}:
			case <-ctx.Done():
				if tr != nil {
					_ = tr.Close()
				}
			}
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Watch: %v", err)
		}
	})
	return deliveries
}

func next(t *testing.T, deliveries <-chan delivery) delivery {
	t.Helper()
	select {
	case d := <-deliveries:
		return d
	case <-time.After(10 * time.Second):
		t.Fatal("nothing delivered within 10 s")
		return delivery{}
	}
}

// wantGeneration waits until the tree with the given generation is delivered. Trees with older
// generations may be delivered first.
func wantGeneration(t *testing.T, deliveries <-chan delivery, want uint64) {
	t.Helper()
	for {
		d := next(t, deliveries)
		if d.err != nil {
			t.Fatal(d.err)
		}
		got := d.tree.Generation()
		if err := d.tree.Close(); err != nil {
			t.Fatal(err)
		}
		if got == want {
			return
		}
		if got > want {
			t.Fatalf("generation %d, want %d", got, want)
		}
	}
}

func TestWatchDeliversEachPublication(t *testing.T) {
	dir, b := t.TempDir(), build.New("node")
	p := newPublisher(t, dir)
	mustPublish(t, p, b, 1)
	deliveries := watching(t, dir)
	wantGeneration(t, deliveries, 1)
	for g := uint64(2); g < 20; g++ {
		mustPublish(t, p, b, g)
		wantGeneration(t, deliveries, g)
	}
	// The test receives no deliveries during this loop. Watch may skip trees in the meantime,
	// but it must deliver the newest tree afterwards.
	for g := uint64(20); g < 120; g++ {
		mustPublish(t, p, b, g)
	}
	wantGeneration(t, deliveries, 119)
}

// Watch delivers each tree at most once, even if the symlink is replaced while Watch reads it.
// After a second delivery, a dataplane would unnecessarily re-evaluate all open connections.
func TestWatchDeliversNoTreeTwice(t *testing.T) {
	const last = 2000
	dir, b := t.TempDir(), build.New("node")
	p := newPublisher(t, dir)
	mustPublish(t, p, b, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var delivered []uint64
	ended := make(chan error, 1)
	go func() {
		ended <- statedir.Watch(ctx, dir, func(tr *tree.Tree, err error) {
			if err != nil {
				t.Error(err)
				return
			}
			delivered = append(delivered, tr.Generation())
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
			if delivered[len(delivered)-1] == last {
				// Wait for a second delivery, because a pending event could cause one.
				time.AfterFunc(100*time.Millisecond, stop)
			}
		})
	}()
	for g := uint64(2); g <= last; g++ {
		mustPublish(t, p, b, g)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("generation %d was not delivered within 30 s", last)
	}
	for i := 1; i < len(delivered); i++ {
		if delivered[i] <= delivered[i-1] {
			t.Errorf("generation %d came after %d", delivered[i], delivered[i-1])
		}
	}
}

func TestWatchWaitsForTheDirectory(t *testing.T) {
	dir, b := filepath.Join(t.TempDir(), "run", "sluice"), build.New("node")
	deliveries := watching(t, dir)
	mustPublish(t, newPublisher(t, dir), b, 1)
	wantGeneration(t, deliveries, 1)
	if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
		t.Fatal(err)
	}
	mustPublish(t, newPublisher(t, dir), b, 1)
	wantGeneration(t, deliveries, 1)
}

func TestWatchReportsARejectedTreeAndContinues(t *testing.T) {
	dir, b := t.TempDir(), build.New("node")
	p := newPublisher(t, dir)
	mustPublish(t, p, b, 1)
	deliveries := watching(t, dir)
	inUse := next(t, deliveries)
	if inUse.err != nil {
		t.Fatal(inUse.err)
	}
	defer inUse.tree.Close()
	trees := filepath.Join(dir, "tree")
	damaged := filepath.Join(trees, "2.tree")
	if err := os.WriteFile(damaged, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("2.tree", filepath.Join(trees, "new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(trees, "new"), filepath.Join(trees, "current")); err != nil {
		t.Fatal(err)
	}
	rejected := next(t, deliveries)
	if rejected.tree != nil || !errors.Is(rejected.err, tree.ErrCorrupt) || !strings.Contains(rejected.err.Error(), damaged) {
		t.Fatalf("damaged tree: got %v, %v, want no tree and an error that names %s", rejected.tree, rejected.err, damaged)
	}
	if inUse.tree.Evaluate(aFlow); inUse.tree.Node() != "node" {
		t.Error("the tree in use did not stay")
	}
	mustPublish(t, p, b, 3)
	wantGeneration(t, deliveries, 3)
}
