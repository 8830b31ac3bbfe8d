package engine_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/test/eventually"
)

const cniResult = `{"kind":"cniCacheV1","containerId":"c1","ifName":"eth0","networkName":"pods",
	"cniArgs":[["K8S_POD_NAMESPACE","shop"],["K8S_POD_NAME","web"],["K8S_POD_UID","u1"]],
	"result":{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.1/24"}]}}`

// runDataplane runs a dataplane without a tree until the test ends, and returns its state
// directory.
func runDataplane(t *testing.T, cniResults string, log logr.Logger) (stateDir string) {
	t.Helper()
	stateDir = filepath.Join(t.TempDir(), "state")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	d := engine.New(stateDir, engine.Config{CNIResults: cniResults, Log: log}, &status.Endpoints{StateDir: stateDir})
	go func() { ended <- d.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return stateDir
}

func waitForSandboxes(t *testing.T, stateDir, what string, ok func(report.Sandboxes) bool) {
	t.Helper()
	eventually.NoError(t, func() error {
		s, err := statedir.ReadSandboxes(stateDir)
		if err == nil && !ok(s) {
			err = fmt.Errorf("%+v, want %s", s, what)
		}
		return err
	})
}

func TestDataplanePublishesSandboxesBeforeTheFirstTree(t *testing.T) {
	results := filepath.Join(t.TempDir(), "results")
	stateDir := runDataplane(t, results, logr.Discard())
	waitForSandboxes(t, stateDir, "no directory", func(s report.Sandboxes) bool {
		return !s.Available && strings.Contains(s.Reason, "no such file or directory")
	})
	if err := os.Mkdir(results, 0o700); err != nil {
		t.Fatal(err)
	}
	waitForSandboxes(t, stateDir, "no sandbox", func(s report.Sandboxes) bool { return s.Available && len(s.Sandboxes) == 0 })
	file := filepath.Join(results, "pods-c1-eth0")
	if err := os.WriteFile(file, []byte(cniResult), 0o600); err != nil {
		t.Fatal(err)
	}
	waitForSandboxes(t, stateDir, "one sandbox", func(s report.Sandboxes) bool {
		return len(s.Sandboxes) == 1 && s.Sandboxes[0].UID == "u1" && slices.Equal(s.Sandboxes[0].Addresses, []netip.Addr{netip.MustParseAddr("10.0.0.1")})
	})
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	waitForSandboxes(t, stateDir, "no sandbox", func(s report.Sandboxes) bool { return s.Available && len(s.Sandboxes) == 0 })
}

func TestDataplaneWithoutCNIResults(t *testing.T) {
	waitForSandboxes(t, runDataplane(t, "", logr.Discard()), "no directory", func(s report.Sandboxes) bool {
		return !s.Available && s.Reason == "no directory of CNI results is configured"
	})
}

// TestDataplanePublishesRoutes checks that the dataplane on a node without CNI results publishes
// the addresses of each pod that has its own link.
func TestDataplanePublishesRoutes(t *testing.T) {
	p := newPlane(t)
	p.enforces(p.start("dataplane", nil))
	addresses := slices.SortedFunc(slices.Values(p.two.Addresses()), netip.Addr.Compare)
	waitForSandboxes(t, p.state.Path(), "the routes to pod two", func(s report.Sandboxes) bool {
		return !s.Available && slices.Equal(s.Routed, addresses)
	})
	must(t, p.node.Do(func() error { return exec.Command("ip", "link", "delete", p.two.Interface).Run() }))
	waitForSandboxes(t, p.state.Path(), "no route", func(s report.Sandboxes) bool { return s.Routed != nil && len(s.Routed) == 0 })
}

// TestDataplanePublishesSandboxesAgain checks that the dataplane repeats a failed publication
// of sandboxes even if no sandbox changes.
func TestDataplanePublishesSandboxesAgain(t *testing.T) {
	results := t.TempDir()
	if err := os.WriteFile(filepath.Join(results, "a"), []byte(cniResult), 0o600); err != nil {
		t.Fatal(err)
	}
	failed := make(chan string, 100)
	stateDir := runDataplane(t, results, funcr.New(func(_, text string) {
		if strings.Contains(text, "the agent does not receive") {
			failed <- text
		}
	}, funcr.Options{}))
	available := func(s report.Sandboxes) bool { return len(s.Sandboxes) == 1 }
	waitForSandboxes(t, stateDir, "one sandbox", available)
	// A directory with the name of the temporary file makes the next publication fail.
	partial := filepath.Join(stateDir, ".partial.sandboxes.json")
	if err := os.Mkdir(partial, 0o700); err != nil {
		t.Fatal(err)
	}
	second := strings.NewReplacer("c1", "c2", "u1", "u2", "10.0.0.1", "10.0.0.2").Replace(cniResult)
	if err := os.WriteFile(filepath.Join(results, "b"), []byte(second), 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case <-failed:
	case <-time.After(10 * time.Second):
		t.Fatal("the publication did not fail within 10 s")
	}
	waitForSandboxes(t, stateDir, "the previous sandbox", available)
	if err := os.Remove(partial); err != nil {
		t.Fatal(err)
	}
	waitForSandboxes(t, stateDir, "both sandboxes", func(s report.Sandboxes) bool { return len(s.Sandboxes) == 2 })
}
