package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/sluicenet/sluice/check"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/test/lab"
)

// TestCheckNode checks the output of sluice dataplane --check.
func TestCheckNode(t *testing.T) {
	l, err := lab.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	n, err := l.AddNode("n1")
	if err != nil {
		t.Fatal(err)
	}
	var code int
	var stdout, stderr string
	onNode := func(args ...string) {
		if err := n.Do(func() error {
			code, stdout, stderr = sluice("", append([]string{"dataplane", "--check", "--state-dir", t.TempDir()}, args...)...)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	onNode("-o", "json")
	var r check.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitDone || r.Kind != "CheckReport" || len(r.Checks) < 10 {
		t.Errorf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	onNode("--cni-results", "")
	if code != exitDone || !strings.HasPrefix(stdout, fmt.Sprintf("Node: %d ok.\n\nRESULT  CHECK ", len(r.Checks))) || !strings.Contains(stdout, "\nok      kernel  ") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	onNode("--uninstall")
	if code != exitWrongInput || !strings.Contains(stderr, "give one of them") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}

// TestCheckCluster runs `sluice check` as an administrator, and as a user without rights. The CRDs
// of Sluice exist in the cluster, but no operator runs.
func TestCheckCluster(t *testing.T) {
	namespace := server.Namespace(t)
	args := []string{"check", "-n", namespace, "--kubeconfig"}
	code, stdout, stderr := sluiceAs("kubectl-sluice", "", append(args, kubeconfigOf(t, server.Config(), ""), "-o", "json")...)
	var r check.Report
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	results := map[string]report.Check{}
	for _, c := range r.Checks {
		results[c.Name] = c
	}
	for name, want := range map[string]report.CheckResult{
		"Kubernetes version": report.CheckOK, "API groups": report.CheckOK, "namespace": report.CheckOK, "quota": report.CheckOK,
		"aggregation layer": report.CheckOK,
		"definitions":       report.CheckOK, "operator": report.CheckFailed, "rights of Sluice": report.CheckFailed, "pod network": report.CheckWarning,
	} {
		if c := results[name]; c.Result != want {
			t.Errorf("%s: %+v, want %s", name, c, want)
		}
	}
	if got := results["rights of Sluice"].Seen; code != exitFailed || !strings.Contains(got, "sluice-agent: create events.events.k8s.io") && !strings.Contains(got, "more") {
		t.Errorf("exit %d: %s", code, got)
	}
	code, stdout, stderr = sluiceAs("kubectl-sluice", "", append(args, kubeconfigOf(t, server.User(t, "stranger"), ""))...)
	if code != exitDone || !strings.HasPrefix(stdout, "Cluster here: ") || !strings.Contains(stdout, "\nskipped  nodes ") || !strings.Contains(stdout, "cannot list resource") {
		t.Errorf("a stranger: exit %d: %s%s", code, stdout, stderr)
	}
	gone := kubeconfigOf(t, &rest.Config{Host: "https://127.0.0.1:1"}, "")
	code, stdout, stderr = sluiceAs("kubectl-sluice", "", append(args, gone)...)
	if code != exitWrongInput || stdout != "" || !strings.HasPrefix(stderr, "cannot check: ") {
		t.Errorf("no API server: exit %d: %s%s", code, stdout, stderr)
	}
}
