package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestStatusWithoutADataplane(t *testing.T) {
	dir := t.TempDir()
	code, stdout, stderr := sluice("", "status", "--state-dir", dir)
	if code != exitFailed || stdout != "" {
		t.Errorf("exit %d: %s, want exit 1 and no output", code, stdout)
	}
	for _, want := range []string{"no dataplane is running with this state directory", filepath.Join(dir, "dataplane.sock"), "sluice dataplane --state-dir " + dir} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q lacks %q", stderr, want)
		}
	}
}

// TestStatusOfOtherNode reads the status of another node's dataplane through the API server.
func TestStatusOfOtherNode(t *testing.T) {
	kubeconfig := observed(t, 1, 0)
	code, stdout, stderr := sluiceAs("kubectl-sluice", "", "status", "--kubeconfig", kubeconfig, "--node", "node-0")
	if code != exitDone || !strings.Contains(stdout, "generation 7") || !strings.Contains(stdout, "node-0") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	code, stdout, _ = sluice("", "status", "--kubeconfig", kubeconfig, "--node", "node-0", "-o", "json")
	if code != exitDone || !strings.Contains(stdout, `"kind":"NodeStatus"`) && !strings.Contains(stdout, `"kind": "NodeStatus"`) {
		t.Errorf("exit %d: %s", code, stdout)
	}
	code, stdout, stderr = sluiceAs("kubectl-sluice", "", "status", "--kubeconfig", kubeconfig, "--node", "node-1")
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, "does not serve observe.policy.sluice.dev") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	code, _, stderr = sluice("", "status", "--state-dir", t.TempDir(), "--node", "node-0")
	if code != exitWrongInput || !strings.Contains(stderr, "cannot be used with") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
