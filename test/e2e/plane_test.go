package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/process"
)

// sluice is the path of the program under test. TestMain builds the program once.
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
	if err := process.Build(sluice, "cmd/sluice"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// limit is the maximum time that an allowed connection may take.
const limit = 10 * time.Second

// plane is a running `sluice dataplane`, started as on a real node.
type plane struct {
	*process.Process
	t        *testing.T
	stateDir string
}

// startPlane starts a dataplane and stops it at the end of the test.
func startPlane(t *testing.T, node *lab.Node, stateDir string, args ...string) *plane {
	t.Helper()
	cmd := exec.Command(sluice, append([]string{"dataplane", "--state-dir", stateDir}, args...)...)
	started, err := process.Start("the dataplane", cmd, node.Start)
	if err != nil {
		t.Fatal(err)
	}
	p := &plane{started, t, stateDir}
	t.Cleanup(p.stop)
	return p
}

// stop stops the dataplane with SIGTERM, as a kubelet does when it stops a pod. It fails the test
// if the dataplane ends with an error or has logged an error. It does nothing if the dataplane has
// already ended.
func (p *plane) stop() {
	if p.HasEnded() {
		return
	}
	if err := p.Stop(); err != nil {
		p.t.Error(err)
	} else if strings.Contains(p.Log(), `"level":"error"`) {
		p.t.Errorf("the dataplane logged an error:\n%s", p.Log())
	}
}

// enforces waits until the dataplane has acknowledged a generation.
func (p *plane) enforces(generation uint64) {
	p.t.Helper()
	eventually.NoError(p.t, func() error {
		if p.HasEnded() {
			p.t.Fatalf("the dataplane ended (%s):\n%s", p.State(), p.Log())
		}
		s, err := status.Read(p.t.Context(), p.stateDir)
		if err != nil || s.Generation < generation {
			return fmt.Errorf("the dataplane enforces generation %d, want %d (%w):\n%s", s.Generation, generation, err, p.Log())
		}
		return nil
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
