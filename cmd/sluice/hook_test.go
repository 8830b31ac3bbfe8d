package main

import (
	"strings"
	"testing"
)

// TestHookFlags checks that the command exits without running the operator if one of the flags for
// the hooks of the Helm chart is set.
func TestHookFlags(t *testing.T) {
	kubeconfig := server.Kubeconfig(t)
	code, _, stderr := sluice("", "operator", "--kubeconfig", kubeconfig, "--update-crds")
	if code != exitDone || !strings.Contains(stderr, "enforcers.policy.sluice.dev") {
		t.Errorf("exit %d: %s", code, stderr)
	}
	code, _, stderr = sluice("", "operator", "--kubeconfig", kubeconfig, "--update-crds", "--uninstall")
	if code != exitWrongInput || !strings.Contains(stderr, "give one of them") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}
