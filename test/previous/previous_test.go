package previous

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/test/kube"
)

// run runs git in a repository of the test.
func run(t *testing.T, repository string, args ...string) string {
	t.Helper()
	out, err := git(repository, append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestFind checks which version is the previous one.
func TestFind(t *testing.T) {
	repository := t.TempDir()
	run(t, repository, "init", "-q", "-b", "main")
	run(t, repository, "commit", "-q", "--allow-empty", "-m", "c")
	fixed := run(t, repository, "rev-parse", "HEAD")
	for _, step := range []struct{ tag, want string }{
		{"", fixed},
		{"v0.9.0", fixed},
		{"", "v0.9.0"},
		{"v0.10.0", "v0.9.0"},
		{"other", "v0.10.0"},
		{"", "v0.10.0"},
		{"v0.11.0-rc.1", "v0.10.0"},
		{"v0.11.0", "v0.11.0-rc.1"},
		{"", "v0.11.0"},
	} {
		run(t, repository, "commit", "-q", "--allow-empty", "-m", "c")
		if step.tag != "" {
			run(t, repository, "tag", step.tag)
		}
		got, err := find(repository, fixed)
		if err != nil || got.Name != step.want {
			t.Errorf("after tag %q: %v, %v, want %q", step.tag, got, err, step.want)
		}
	}
}

// TestFindInShallowClone checks that a clone without the history is its own previous version.
func TestFindInShallowClone(t *testing.T) {
	repository, clone := t.TempDir(), t.TempDir()
	run(t, repository, "init", "-q", "-b", "main")
	if err := os.WriteFile(filepath.Join(repository, "file"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, repository, "add", "file")
	run(t, repository, "commit", "-q", "-m", "c")
	fixed := run(t, repository, "rev-parse", "HEAD")
	run(t, repository, "commit", "-q", "--allow-empty", "-m", "c")
	run(t, clone, "clone", "-q", "--depth", "1", "file://"+repository, ".")
	got, err := find(clone, fixed)
	if err != nil {
		t.Fatal(err)
	}
	if want := run(t, clone, "rev-parse", "HEAD"); got.Name != want || !strings.Contains(got.String(), fixed) {
		t.Errorf("%q, %q: want commit %s, and a description that names the missing commit %s", got.Name, got, want, fixed)
	}
	extracted := t.TempDir()
	if err := got.Extract(extracted); err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(filepath.Join(extracted, "file")); err != nil || string(content) != "content" {
		t.Errorf("extracted %q, %v", content, err)
	}
}

// TestFixedCommit checks that the fixed commit is an ancestor of the current commit. If this clone
// does not contain the commit, because it is shallow or its history was rewritten, the tests of
// upgrades use the current commit, and there is nothing to check.
func TestFixedCommit(t *testing.T) {
	root, err := kube.ProjectRoot()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := git(root, "cat-file", "-e", commit+"^{commit}"); err == nil {
		run(t, root, "merge-base", "--is-ancestor", commit, "HEAD")
	}
}
