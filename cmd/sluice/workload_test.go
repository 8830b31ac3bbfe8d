package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/test/cluster"
)

// rendered is the output of helm template for a chart: a policy and a Deployment, but no pods.
func rendered(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "query", "testdata", "cases", "05-helm-rendered-no-pods.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLintChecksPodTemplates(t *testing.T) {
	code, stdout, stderr := sluice(rendered(t), "lint", "-f", "-")
	if code != exitFailed || !strings.Contains(stdout, `has a TCP port named "https"`) {
		t.Errorf("exit %d: %s", code, stdout)
	}
	if want := "note: Deployment default/shop-web has no pods, so its pod template counts as a pod\n"; stderr != want {
		t.Errorf("stderr %q, want %q", stderr, want)
	}
}

func TestMatrixContainsPodTemplates(t *testing.T) {
	_, stdout, _ := sluice(rendered(t), "matrix", "-f", "-", "--port", "8080")
	if !strings.Contains(stdout, "default/deployment/shop-web") {
		t.Error(stdout)
	}
}

func TestExplainExpect(t *testing.T) {
	for name, tt := range map[string]struct {
		port, expected string
		code           int
		stderr         string
	}{
		"allowed as expected":    {"5432", "allow", exitDone, ""},
		"denied as expected":     {"80", "deny", exitDone, ""},
		"unexpectedly denied":    {"80", "allow", exitFailed, "sluice: expected allow, but the verdict is Deny\n"},
		"unexpectedly allowed":   {"5432", "deny", exitFailed, "sluice: expected deny, but the verdict is Allow\n"},
		"an unknown expectation": {"80", "maybe", exitWrongInput, `invalid argument "maybe" for "--expect" flag: want allow or deny; see sluice explain --help` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := sluice(cluster.TwoNodes, "explain", "-f", "-", "--from", "web", "--to", "db", "--port", tt.port, "--expect", tt.expected)
			if code != tt.code || stderr != tt.stderr || (stdout == "") != (code == exitWrongInput) {
				t.Errorf("exit %d, want %d; stderr %q, want %q", code, tt.code, stderr, tt.stderr)
			}
		})
	}
}
