package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/test/golden"
	"github.com/sluicenet/sluice/test/policyapi"
)

const tierExamples = "../../docs/examples/tiers"

// TestTierExamples runs the commands with the policies of docs/tiers.md, and compares the output
// with testdata/tiers.golden. The page contains parts of this output.
func TestTierExamples(t *testing.T) {
	var got []string
	for _, question := range [][]string{
		{"--from", "test/tool", "--to", "shop/db", "--port", "5432"},
		{"--from", "scraper", "--to", "shop/db", "--port", "9090"},
		{"--from", "scraper", "--to", "shop/db", "--port", "9091"},
		{"--from", "shop/web", "--to", "203.0.113.7", "--port", "443"},
		{"--from", "shop/web", "--to", "198.51.100.7", "--port", "443"},
		{"--from", "test/tool", "--to", "203.0.113.7", "--port", "443"},
		{"--from", "test/tool", "--to", "kube-system/dns", "--port", "53", "--protocol", "UDP"},
		{"--from", "scraper", "--to", "test/tool", "--port", "80"},
		{"--from", "shop/web", "--to", "203.0.113.7", "--port", "443", "-o", "json"},
	} {
		got = append(got, transcript(append([]string{"explain", "-f", tierExamples}, question...)...))
	}
	got = append(got,
		transcript("matrix", "-f", tierExamples, "--port", "5432"),
		transcript("lint", "-f", tierExamples))
	flows := writeFile(t, "flows", `{"src":"10.0.1.4","dst":"203.0.113.7","protocol":"TCP","port":443}`+"\n"+`{"src":"10.0.2.3","dst":"10.0.2.2","protocol":"TCP","port":5432}`+"\n")
	_, decisions, _ := sluice("", "evaluate", "-f", tierExamples, "--flows", flows)
	got = append(got, "$ sluice evaluate -f "+tierExamples+" --flows FLOWS\n"+decisions)

	stateDir := t.TempDir()
	if code, _, stderr := sluice("", "compile", "-f", tierExamples, "--node", "n2", "--state-dir", stateDir); code != exitDone {
		t.Fatal(stderr)
	}
	_, inTree, _ := sluice("", "explain", "--state-dir", stateDir, "--from", "test/tool", "--to", "10.0.1.4", "--port", "443")
	got = append(got, "$ sluice explain --state-dir DIR --from test/tool --to 10.0.1.4 --port 443\n"+inTree)
	golden.Compare(t, filepath.Join("testdata", "tiers.golden"), strings.Join(got, "\n"))
}

// TestLiveClusterWithTiers checks that a command reads the ClusterNetworkPolicies of a cluster.
func TestLiveClusterWithTiers(t *testing.T) {
	namespace, _ := shop(t)
	kubeconfig := kubeconfigOf(t, server.Config(), namespace)
	c := server.Client(t)
	policyapi.Install(t, c, policyapi.V1beta1)
	create(t, c, policyapi.Policy(t, policyapi.V1beta1, "no-web", fmt.Sprintf(`{tier: Admin, priority: 3,
		subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: %[1]s}}},
		ingress: [{name: web, action: Deny, from: [{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}]}]}`, namespace)))
	code, got, stderr := sluice("", "explain", "--kubeconfig", kubeconfig, "--from", "web", "--to", "db", "--port", "5432")
	if want := `is denied by rule "web" of ClusterNetworkPolicy no-web (Admin tier, priority 3).`; code != exitDone || !strings.Contains(got, want) {
		t.Errorf("exit %d: %s%s, want %s", code, got, stderr, want)
	}
}
