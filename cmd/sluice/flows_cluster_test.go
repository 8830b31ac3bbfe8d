package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// observed starts a simulated API server with n nodes, and returns the path of a kubeconfig file
// for it. Each node reports one flow and then ends the stream. The `away` parameter is the number
// of requests for flows that fail at first, as if no operator were available yet. The status of
// these responses alternates between 404 (no operator is registered) and 503 (the operator is
// starting). The test of controllers/observe uses a real API server.
func observed(t *testing.T, n int, away int32) (kubeconfig string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /apis/policy.sluice.dev/v1alpha1/nodeenforcers", func(w http.ResponseWriter, _ *http.Request) {
		items := make([]string, n)
		for i := range items {
			items[i] = fmt.Sprintf(`{"metadata":{"name":"node-%d"}}`, i)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"kind":"NodeEnforcerList","apiVersion":"policy.sluice.dev/v1alpha1","metadata":{},"items":[%s]}`, strings.Join(items, ","))
	})
	var requests atomic.Int32
	mux.HandleFunc("GET /apis/observe.policy.sluice.dev/v1alpha1/nodeflows", func(w http.ResponseWriter, r *http.Request) {
		if request := requests.Add(1); request <= away {
			status := http.StatusServiceUnavailable
			if request%2 == 1 {
				status = http.StatusNotFound
			}
			http.Error(w, "the operator is starting", status)
			return
		}
		query := r.URL.Query()
		node, named := strings.CutPrefix(query.Get("fieldSelector"), "metadata.name=")
		if !named || query.Get("watch") != "true" || query.Get("denied") != "true" {
			http.Error(w, r.URL.String(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"time":"2026-11-22T20:00:00Z","verdict":"Deny","protocol":"TCP","src":"10.0.0.1","dst":"10.0.0.2","dstPod":"shop/of-%s"}`+"\n", node)
	})
	mux.HandleFunc("GET /apis/observe.policy.sluice.dev/v1alpha1/nodestatuses/{node}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("node") != "node-0" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"kind":"NodeStatus","metadata":{"name":"node-0"},"status":{"node":"node-0","generation":7,"published":7}}`)
	})
	return serve(t, mux)
}

// TestFlowsOfCluster checks that the line of each flow begins with the name of the node, and that
// the flags -n, -c and --node limit the flows.
func TestFlowsOfCluster(t *testing.T) {
	kubeconfig := observed(t, 2, 0)
	flows := func(args ...string) (int, string, string) {
		return sluiceAs("kubectl-sluice", "", append([]string{"flows", "--denied", "--kubeconfig", kubeconfig}, args...)...)
	}
	code, stdout, stderr := flows("-n", "shop", "--retry", "0s")
	for _, node := range []string{"node-0", "node-1"} {
		if !strings.Contains(stdout, node+"  ") || !strings.Contains(stdout, "shop/of-"+node) || !strings.Contains(stderr, node+"  listening; press Ctrl-C to stop\n") {
			t.Errorf("nothing about %s: %s%s", node, stdout, stderr)
		}
	}
	if code != exitFailed || !strings.Contains(stderr, "the stream ended") {
		t.Errorf("exit %d after the streams have ended: %s", code, stderr)
	}
	code, stdout, _ = flows("--node", "node-1", "-o", "json", "-c", "1")
	if code != exitDone || !strings.HasPrefix(stdout, `{"apiVersion":"query.sluice.dev/v1alpha1","kind":"FlowEvent","node":"node-1","time":"2026-11-22T20:00:00Z","verdict":"Deny"`) {
		t.Errorf("exit %d: %s", code, stdout)
	}
	if _, stdout, _ = flows("-n", "elsewhere", "--retry", "0s"); stdout != "" {
		t.Errorf("flows of another namespace: %s", stdout)
	}
}

// TestFlowsReconnect checks that the command connects again when no operator responds and when a
// stream has ended.
func TestFlowsReconnect(t *testing.T) {
	kubeconfig := observed(t, 1, 2)
	code, stdout, stderr := sluiceAs("kubectl-sluice", "", "flows", "--denied", "--kubeconfig", kubeconfig, "-o", "json", "-c", "2")
	if code != exitDone || strings.Count(stdout, `"node":"node-0"`) != 2 {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	for _, want := range []string{"does not serve", "connecting again, flows until then are not shown", "the stream ended"} {
		if strings.Count(stderr, want) == 0 {
			t.Errorf("no note with %q: %s", want, stderr)
		}
	}
	code, _, stderr = sluiceAs("kubectl-sluice", "", "flows", "--denied", "--kubeconfig", observed(t, 1, 1000), "--retry", "1s")
	if code != exitFailed || !strings.Contains(stderr, "does not serve") {
		t.Errorf("exit %d without an operator: %s", code, stderr)
	}
}

// TestManyStreams checks that the command opens more than 50 streams only with a confirmation.
func TestManyStreams(t *testing.T) {
	kubeconfig := observed(t, 51, 0)
	arguments := []string{"flows", "--denied", "--kubeconfig", kubeconfig, "-c", "1"}
	code, stdout, stderr := sluiceAs("kubectl-sluice", "y\n", arguments...)
	if want := "this would open streams to 51 nodes: select nodes with --node, or confirm with --yes\n"; code != exitWrongInput || stdout != "" || stderr != want {
		t.Errorf("without a terminal: exit %d: %s%s", code, stdout, cmp.Diff(want, stderr))
	}
	if code, stdout, stderr = sluiceAs("kubectl-sluice", "", append(arguments, "--yes")...); code != exitDone || stdout == "" {
		t.Errorf("with --yes: exit %d: %s%s", code, stdout, stderr)
	}
}
