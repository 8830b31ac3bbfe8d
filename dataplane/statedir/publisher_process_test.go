package statedir_test

import (
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
)

// The tests start this test binary as another process, which publishes trees in a state
// directory. The process ends when a test kills it or when a publication fails. These constants
// are the names of the environment variables that configure the process.
const (
	// publishInto names the variable that contains the path of the state directory.
	publishInto = "SLUICE_TEST_PUBLISH_INTO"
	// largestFile names the variable that contains the maximum size, in bytes, of a file that
	// the process may write.
	largestFile = "SLUICE_TEST_LARGEST_FILE"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(publishInto); dir != "" {
		os.Stderr.WriteString(publishUntilError(dir, os.Getenv(largestFile)).Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func publishUntilError(dir, limit string) error {
	if limit != "" {
		bytes, err := strconv.ParseUint(limit, 10, 64)
		if err != nil {
			return err
		}
		signal.Ignore(unix.SIGXFSZ)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: bytes, Max: bytes}); err != nil {
			return err
		}
	}
	b := build.New("node")
	if err := b.Apply(twoPods()); err != nil {
		return err
	}
	p, err := statedir.NewPublisher(dir)
	for err == nil {
		_, err = p.Publish(b)
	}
	return err
}

func publishing(dir, limit string) *exec.Cmd {
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), publishInto+"="+dir, largestFile+"="+limit)
	return process
}

func currentGeneration(t *testing.T, dir string) uint64 {
	t.Helper()
	tr, err := statedir.OpenCurrent(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	return tr.Generation()
}

func TestNoSpaceForTheWholeTreeLeavesCurrent(t *testing.T) {
	dir := t.TempDir()
	mustPublish(t, newPublisher(t, dir), build.New("node"), 1)
	output, err := publishing(dir, "300").CombinedOutput()
	if err == nil || !strings.Contains(string(output), "file too large") {
		t.Fatalf("publishing without space: %v: %s", err, output)
	}
	if g := currentGeneration(t, dir); g != 1 {
		t.Errorf("current is generation %d", g)
	}
	wantFiles(t, dir, "1.tree", "1.tree")
}

func TestPublisherKilledAtAnyMomentLeavesASoundTree(t *testing.T) {
	dir := t.TempDir()
	deliveries := watching(t, dir)
	for range 10 {
		process := publishing(dir, "")
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			d := next(t, deliveries)
			if d.err != nil {
				t.Error(d.err)
			} else if err := d.tree.Close(); err != nil {
				t.Error(err)
			}
		}
		if err := process.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := process.Wait(); err == nil || process.ProcessState.Exited() {
			t.Fatalf("the publisher ended before it was killed: %v", process.ProcessState)
		}
		before := currentGeneration(t, dir)
		p := newPublisher(t, dir)
		if files := filesIn(t, filepath.Join(dir, "tree")); slices.ContainsFunc(files, func(name string) bool { return strings.HasPrefix(name, ".") }) {
			t.Errorf("files %q", files)
		}
		after, err := p.Publish(build.New("node"))
		if err != nil || after <= before {
			t.Errorf("published generation %d after %d: %v", after, before, err)
		}
	}
}
