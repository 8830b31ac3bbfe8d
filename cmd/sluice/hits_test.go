package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/policy/fingerprint"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/query/hits"
)

const countedPolicy = `{metadata: {name: db, namespace: shop}, spec: {ingress: [
  {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]},
  {from: [{podSelector: {matchLabels: {app: admin}}}]}]}}`

// counted returns a policy, and the status of a node that has used the first rule of the policy `count`
// times. The policy has denied one packet.
func counted(t *testing.T, count uint64) (*networkingv1.NetworkPolicy, *report.Status) {
	t.Helper()
	object := &networkingv1.NetworkPolicy{}
	if err := yaml.UnmarshalStrict([]byte(countedPolicy), object); err != nil {
		t.Fatal(err)
	}
	p, _ := read.NetworkPolicy(object)
	since := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	h := &report.Hits{Since: since, Rules: 2, Unused: 1}
	for i, sum := range fingerprint.Rules(p, rule.Ingress) {
		h.Counters = append(h.Counters, report.RuleHits{
			Policy: "shop/db", Direction: "ingress", Rule: &i, Fingerprint: fmt.Sprintf("%016x", sum), Since: since,
		})
	}
	h.Counters[0].Count, h.Counters[0].Last = count, since
	h.Counters = append(h.Counters, report.RuleHits{Policy: "shop/db", Direction: "ingress", Count: 1, Last: since, Since: since})
	return object, &report.Status{Node: "node-0", Hits: h}
}

// countingCluster simulates an API server with n nodes, each of which has used the same rule three
// times. If `failing` is true, the last node does not respond.
func countingCluster(t *testing.T, n int, failing bool) (kubeconfig string) {
	t.Helper()
	object, s := counted(t, 3)
	write := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /apis/policy.sluice.dev/v1alpha1/nodeenforcers", func(w http.ResponseWriter, _ *http.Request) {
		items := []any{}
		for i := range n {
			items = append(items, map[string]any{"metadata": map[string]any{"name": fmt.Sprintf("node-%d", i)}})
		}
		write(w, map[string]any{"kind": "NodeEnforcerList", "apiVersion": "policy.sluice.dev/v1alpha1", "metadata": map[string]any{}, "items": items})
	})
	mux.HandleFunc("GET /apis/networking.k8s.io/v1/networkpolicies", func(w http.ResponseWriter, _ *http.Request) {
		list := networkingv1.NetworkPolicyList{Items: []networkingv1.NetworkPolicy{*object}}
		list.Kind, list.APIVersion = "NetworkPolicyList", "networking.k8s.io/v1"
		write(w, list)
	})
	mux.HandleFunc("GET /apis/observe.policy.sluice.dev/v1alpha1/nodestatuses/{node}", func(w http.ResponseWriter, r *http.Request) {
		if failing && r.PathValue("node") == fmt.Sprintf("node-%d", n-1) || r.URL.Query().Get("hits") != "true" {
			http.Error(w, "the agent does not respond", http.StatusServiceUnavailable)
			return
		}
		write(w, map[string]any{"kind": "NodeStatus", "metadata": map[string]any{"name": r.PathValue("node")}, "status": s})
	})
	return serve(t, mux)
}

func TestHitsOfCluster(t *testing.T) {
	run := func(kubeconfig string, args ...string) (int, string, string) {
		return sluiceAs("kubectl-sluice", "", append([]string{"hits", "--kubeconfig", kubeconfig}, args...)...)
	}
	all := countingCluster(t, 2, false)
	code, stdout, stderr := run(all, "-n", "shop")
	for _, want := range []string{
		"Never used: 1 of 2 rules in namespace shop. Counted on 2 nodes since ", "\nshop/db     6  1h", "ingress[0] from pods app=web in namespace shop on TCP 5432\n",
		"\nshop/db     0  never ", "\nshop/db     2  1h", "  ingress denied: no rule matched\n",
	} {
		if !strings.Contains(stdout, want) || code != exitDone {
			t.Errorf("exit %d, want %q:\n%s%s", code, want, stdout, stderr)
		}
	}
	code, stdout, _ = run(all, "--unused", "-o", "json")
	var got hits.Hits
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || code != exitDone || got.Kind != "Hits" || len(got.Rules) != 1 || *got.Rules[0].Rule != 1 || got.Nodes != 2 {
		t.Errorf("exit %d, %v: %s", code, err, stdout)
	}
	if code, stdout, _ = run(all, "-n", "other"); code != exitDone || strings.Contains(stdout, "shop") {
		t.Errorf("exit %d for another namespace: %s", code, stdout)
	}
	code, stdout, _ = run(countingCluster(t, 3, true))
	if code != exitFailed || !strings.HasPrefix(stdout, "NOT COMPLETE: 1 of 3 nodes did not respond, so the rules may be used there:\n  node-2: ") || !strings.Contains(stdout, "\nshop/db     6  ") {
		t.Errorf("exit %d without node-2: %s", code, stdout)
	}
	code, stdout, stderr = run(countingCluster(t, 1, true))
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, "no node responded: ") {
		t.Errorf("exit %d without any node: %s%s", code, stdout, stderr)
	}
}

func TestHitsOfNode(t *testing.T) {
	_, s := counted(t, 3)
	dir := t.TempDir()
	code, _, stderr := sluiceAs("sluice", "", "hits", "--state-dir", dir)
	if code != exitFailed || !strings.Contains(stderr, "no dataplane is running") {
		t.Errorf("exit %d without a dataplane: %s", code, stderr)
	}
	server, err := status.Serve(dir, status.Source{
		Status: func() (report.Status, error) { return report.Status{Node: "node-0"}, nil },
		Hits:   func() *report.Hits { return s.Hits },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	code, stdout, stderr := sluiceAs("sluice", "", "hits", "--state-dir", dir)
	if code != exitDone || !strings.Contains(stdout, "\nshop/db     3  ") || !strings.Contains(stdout, "  ingress[0]\n") || !strings.Contains(stdout, "Never used: 1 of 2 rules.") {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
}
