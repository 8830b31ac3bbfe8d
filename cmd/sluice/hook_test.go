package main

import (
	"strings"
	"testing"
)

// TestHookFlags checks that the flags for the hooks of the Helm chart do not run the operator, which
// would not end.
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
