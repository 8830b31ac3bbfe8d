package statedir_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

func filesIn(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func wantFiles(t testing.TB, stateDir, current string, want ...string) {
	t.Helper()
	dir := filepath.Join(stateDir, "tree")
	target, err := os.Readlink(filepath.Join(dir, "current"))
	if err != nil || target != current {
		t.Errorf("current is %q, %v; want %q", target, err, current)
	}
	want = append(want, "current")
	slices.Sort(want)
	if got := filesIn(t, dir); !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

// twoPods returns the rules of a node with two pods. The first pod is isolated for
// ingress.
func twoPods() rule.Delta {
	return rule.Delta{
		Addresses: []rule.AddressChange{
			{Addr: netip.MustParseAddr("10.0.0.1"), Owner: rule.Owner{Kind: rule.LocalPod, Pod: 1}},
			{Addr: netip.MustParseAddr("10.0.0.2"), Owner: rule.Owner{Kind: rule.LocalPod, Pod: 2}},
		},
		Pods: []rule.PodChange{
			{ID: 1, Pod: &rule.Pod{Name: "shop/db", Ingress: 1}},
			{ID: 2, Pod: &rule.Pod{Name: "shop/web"}},
		},
		Programs: []rule.ProgramChange{{ID: 1, Program: &rule.Program{
			Tier: rule.NetworkPolicyTier, IsolatedBy: []string{"shop/db"},
			Rules: []rule.Rule{{Action: rule.ActionAccept, Policy: "shop/db", Matches: []rule.Match{{
				Ports: []rule.Ports{{Protocol: 6, First: 5432, Last: 5432}}, Any: true,
			}}}},
		}}},
	}
}

// aFlow is a flow to the isolated pod of twoPods.
var aFlow = flow.Flow{
	Src: netip.MustParseAddr("10.0.0.2"), Dst: netip.MustParseAddr("10.0.0.1"), Protocol: flow.TCP, SrcPort: 40000, DstPort: 80,
}

func newPublisher(t testing.TB, stateDir string) *statedir.Publisher {
	t.Helper()
	p, err := statedir.NewPublisher(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustPublish(t testing.TB, p *statedir.Publisher, b *build.Builder, want uint64) {
	t.Helper()
	if got, err := p.Publish(b); err != nil || got != want {
		t.Fatalf("published generation %d, %v; want %d", got, err, want)
	}
}

func TestPublisherKeepsTheCurrentTreeAndTheOneBefore(t *testing.T) {
	old := unix.Umask(0o077)
	t.Cleanup(func() { unix.Umask(old) })
	dir, b := filepath.Join(t.TempDir(), "state"), build.New("node")
	p := newPublisher(t, dir)
	mustPublish(t, p, b, 1)
	wantFiles(t, dir, "1.tree", "1.tree")
	mustPublish(t, p, b, 2)
	mustPublish(t, p, b, 3)
	wantFiles(t, dir, "3.tree", "2.tree", "3.tree")
	mustPublish(t, newPublisher(t, dir), b, 4)
	wantFiles(t, dir, "4.tree", "3.tree", "4.tree")
	for path, want := range map[string]os.FileMode{"": 0o755, "tree": 0o755, "tree/4.tree": 0o644} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%q: mode %v, %v; want %v", path, info.Mode().Perm(), err, want)
		}
	}
}

func TestPublisherContinuesAfterTheHighestGeneration(t *testing.T) {
	tests := map[string]struct {
		files   []string
		current string
		want    uint64
	}{
		"current names it":                  {[]string{"7.tree"}, "7.tree", 8},
		"current names a tree that is gone": {nil, "7.tree", 8},
		"crash before the symlink":          {[]string{"7.tree", "8.tree"}, "7.tree", 9},
		"no current":                        {[]string{"5.tree"}, "", 6},
		"partial files of a crash":          {[]string{"3.tree", ".partial.tree", ".partial.current"}, "3.tree", 4},
		"current names a foreign file":      {[]string{"x.tree", "007.tree"}, "x.tree", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			trees := filepath.Join(dir, "tree")
			if err := os.Mkdir(trees, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, file := range tt.files {
				if err := os.WriteFile(filepath.Join(trees, file), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if tt.current != "" {
				if err := os.Symlink(tt.current, filepath.Join(trees, "current")); err != nil {
					t.Fatal(err)
				}
			}
			p := newPublisher(t, dir)
			if files := filesIn(t, trees); slices.Contains(files, ".partial.tree") || slices.Contains(files, ".partial.current") {
				t.Errorf("partial files stay: %q", files)
			}
			mustPublish(t, p, build.New("node"), tt.want)
			tr, err := statedir.OpenCurrent(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer tr.Close()
			if tr.Generation() != tt.want || tr.Node() != "node" {
				t.Errorf("opened generation %d of %q", tr.Generation(), tr.Node())
			}
		})
	}
}

func TestErrorWhilePublishingLeavesCurrent(t *testing.T) {
	// blockedBy returns a function. The function creates the directory DIR/tree/NAME with one
	// entry. The publisher can neither remove nor replace a directory that is not empty.
	blockedBy := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.MkdirAll(filepath.Join(dir, "tree", name, "file"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := map[string]func(*testing.T, string){
		"the file cannot be written":    blockedBy(".partial.tree"),
		"the symlink cannot be created": blockedBy(".partial.current"),
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			dir, b := t.TempDir(), build.New("node")
			p := newPublisher(t, dir)
			mustPublish(t, p, b, 1)
			spoil(t, dir)
			if g, err := p.Publish(b); err == nil {
				t.Fatalf("published generation %d", g)
			}
			if g := currentGeneration(t, dir); g != 1 {
				t.Errorf("current is generation %d", g)
			}
			if files := filesIn(t, filepath.Join(dir, "tree")); slices.Contains(files, "2.tree") {
				t.Errorf("files %q", files)
			}
		})
	}
}

func TestReadersDuringPublications(t *testing.T) {
	dir, b := t.TempDir(), build.New("node")
	if err := b.Apply(twoPods()); err != nil {
		t.Fatal(err)
	}
	p := newPublisher(t, dir)
	mustPublish(t, p, b, 1)
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var last uint64
			for !done.Load() {
				tr, err := statedir.OpenCurrent(dir)
				if err != nil {
					t.Error(err)
					return
				}
				g := tr.Generation()
				if g < last {
					t.Errorf("generation %d after %d", g, last)
				}
				last = g
				// Trees with an even generation have three pods. Trees with an odd generation
				// have two pods.
				if pods := tr.Counts().Pods; pods != 2+int(g+1)%2 {
					t.Errorf("generation %d has %d pods", g, pods)
				}
				for range 50 {
					tr.Evaluate(aFlow)
				}
				if err := tr.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for g := uint64(2); g <= 1000; g++ {
		change := rule.PodChange{ID: 3}
		if g%2 == 0 {
			change.Pod = &rule.Pod{Name: fmt.Sprintf("shop/pod-%d", g), Ingress: 1}
		}
		if err := b.Apply(rule.Delta{Pods: []rule.PodChange{change}}); err != nil {
			t.Fatal(err)
		}
		mustPublish(t, p, b, g)
	}
	done.Store(true)
	readers.Wait()
	wantFiles(t, dir, "1000.tree", "999.tree", "1000.tree")
}
