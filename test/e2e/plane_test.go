package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/test/lab"
)

// sluice is the binary that the tests run, built once.
var sluice string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "sluice-e2e-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	sluice = filepath.Join(dir, "sluice")
	if out, err := exec.Command("go", "build", "-o", sluice, "../../cmd/sluice").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building sluice: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// never is how long the lab may take for what has to happen.
const never = 10 * time.Second

// plane is `sluice dataplane` as it runs in a node.
type plane struct {
	t        *testing.T
	cmd      *exec.Cmd
	stateDir string
	log      output
	ended    chan struct{}
}

// startPlane starts it; it is stopped at the end of the test.
func startPlane(t *testing.T, node *lab.Node, stateDir string, args ...string) *plane {
	t.Helper()
	p := &plane{t: t, stateDir: stateDir, ended: make(chan struct{})}
	p.cmd = exec.Command(sluice, append([]string{"dataplane", "--state-dir", stateDir}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := node.Start(p.cmd); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.stop)
	return p
}

// stop ends it as a node's shutdown does, and fails the test if it complains.
// After kill it does nothing.
func (p *plane) stop() {
	select {
	case <-p.ended:
		return
	default:
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(never):
		p.t.Error("the dataplane does not end")
		p.kill()
	}
	if text := p.log.text(); !p.cmd.ProcessState.Success() || strings.Contains(text, `"level":"error"`) {
		p.t.Errorf("the dataplane ended (%s):\n%s", p.cmd.ProcessState, text)
	}
}

// kill ends it without a chance to do anything.
func (p *plane) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

func (p *plane) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("sending %s: %v", s, err)
	}
}

// freeze stops it in its tracks, all threads of it.
func (p *plane) freeze() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	p.t.Cleanup(p.thaw)
	wantSoon(p.t, is("the dataplane is frozen"), func() bool {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
		return err == nil && !slices.ContainsFunc(tasks, func(path string) bool {
			stat, err := os.ReadFile(path)
			// Behind the name in brackets comes the state: T is stopped.
			_, state, _ := strings.Cut(string(stat), ") ")
			return err == nil && !strings.HasPrefix(state, "T")
		})
	})
}

// thaw lets it go on.
func (p *plane) thaw() { p.signal(syscall.SIGCONT) }

// enforces waits until a generation holds for every packet.
func (p *plane) enforces(generation uint64) {
	p.t.Helper()
	var last error
	wantSoon(p.t, func() string {
		return fmt.Sprintf("the dataplane enforces generation %d: %v\n%s", generation, last, p.log.text())
	}, func() bool {
		select {
		case <-p.ended:
			p.t.Fatalf("the dataplane ended (%s):\n%s", p.cmd.ProcessState, p.log.text())
		default:
		}
		s, err := status.Read(p.t.Context(), p.stateDir)
		last = err
		return err == nil && s.Generation >= generation
	})
}

func (p *plane) status() report.Status {
	p.t.Helper()
	s, err := status.Read(context.Background(), p.stateDir)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// wantSoon waits for a condition that other processes or the kernel bring about.
func wantSoon(t *testing.T, what func() string, holds func() bool) {
	t.Helper()
	deadline := time.After(never)
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("not within %s: %s", never, what())
		}
	}
}

func is(what string) func() string { return func() string { return what } }

// output keeps what a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write never fails.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) text() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
