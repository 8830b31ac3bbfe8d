package tree_test

import (
	"os"
	"testing"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

// tester contains the methods that testing.TB and rapid.T have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// fixture publishes trees in a state directory. The `tree` field contains the tree that was
// published last.
type fixture struct {
	dir       string
	publisher *statedir.Publisher
	tree      *tree.Tree
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	return newFixtureIn(t, t.TempDir())
}

// newFixtureOnTmpfs returns a fixture on tmpfs, where a state directory usually is.
func newFixtureOnTmpfs(t testing.TB) *fixture {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sluice-tree-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return newFixtureIn(t, dir)
}

func newFixtureIn(t testing.TB, dir string) *fixture {
	t.Helper()
	s := &fixture{dir: dir}
	var err error
	if s.publisher, err = statedir.NewPublisher(s.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func (s *fixture) close() {
	if s.tree != nil {
		_ = s.tree.Close()
	}
}

// publish publishes the current rules of the builder as a tree. The returned tree is valid
// until the next call of publish.
func (s *fixture) publish(t tester, b *build.Builder) *tree.Tree {
	t.Helper()
	generation, err := s.publisher.Publish(b)
	if err != nil {
		t.Fatalf("publishing: %v", err)
	}
	s.close()
	if s.tree, err = statedir.OpenCurrent(s.dir); err != nil {
		t.Fatalf("%v", err)
	}
	if got := s.tree.Generation(); got != generation {
		t.Fatalf("opened generation %d after publishing %d", got, generation)
	}
	return s.tree
}
