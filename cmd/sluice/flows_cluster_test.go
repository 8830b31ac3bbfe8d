package main

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
)

// observed starts a simulated API server with n nodes, and returns the path of its kubeconfig.
// Each node reports one flow and then ends the stream. The test of controllers/observe uses a
// real API server.
func observed(t *testing.T, n int) (kubeconfig string) {
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
	mux.HandleFunc("GET /apis/observe.policy.sluice.dev/v1alpha1/nodeflows", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		node, named := strings.CutPrefix(query.Get("fieldSelector"), "metadata.name=")
		if !named || query.Get("watch") != "true" || query.Get("denied") != "true" {
			http.Error(w, r.URL.String(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, `{"time":"2026-11-22T20:00:00Z","verdict":"Deny","protocol":"TCP","src":"10.0.0.1","dst":"10.0.0.2","dstPod":"shop/of-%s"}`+"\n", node)
	})
	s := httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	return kubeconfigOf(t, &rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{CAData: authority}}, "")
}

// TestFlowsOfCluster checks that each flow begins with its node, and that -n, -c and --node
// select flows.
func TestFlowsOfCluster(t *testing.T) {
	kubeconfig := observed(t, 2)
	flows := func(args ...string) (int, string, string) {
		return sluiceAs("kubectl-sluice", "", append([]string{"flows", "--denied", "--kubeconfig", kubeconfig}, args...)...)
	}
	code, stdout, stderr := flows("-n", "shop")
	for _, node := range []string{"node-0", "node-1"} {
		if !strings.Contains(stdout, node+"  ") || !strings.Contains(stdout, "shop/of-"+node) || !strings.Contains(stderr, node+"  listening; Ctrl-C ends it\n") {
			t.Errorf("nothing about %s: %s%s", node, stdout, stderr)
		}
	}
	if code != exitFailed || !strings.Contains(stderr, "the stream ended") {
		t.Errorf("exit %d after the streams have ended: %s", code, stderr)
	}
	code, stdout, _ = flows("--node", "node-1", "-o", "json", "-c", "1")
	if code != exitDone || !strings.HasPrefix(stdout, `{"node":"node-1","time":"2026-11-22T20:00:00Z","verdict":"Deny"`) {
		t.Errorf("exit %d: %s", code, stdout)
	}
	if _, stdout, _ = flows("-n", "elsewhere"); stdout != "" {
		t.Errorf("flows of another namespace: %s", stdout)
	}
}

// TestManyStreams checks that the command opens more than 50 streams only with a confirmation.
func TestManyStreams(t *testing.T) {
	kubeconfig := observed(t, 51)
	arguments := []string{"flows", "--denied", "--kubeconfig", kubeconfig, "-c", "1"}
	code, stdout, stderr := sluiceAs("kubectl-sluice", "y\n", arguments...)
	if want := "this would open streams to 51 nodes: select nodes with --node, or confirm with --yes\n"; code != exitWrongInput || stdout != "" || stderr != want {
		t.Errorf("without a terminal: exit %d: %s%s", code, stdout, cmp.Diff(want, stderr))
	}
	if code, stdout, stderr = sluiceAs("kubectl-sluice", "", append(arguments, "--yes")...); code != exitDone || stdout == "" {
		t.Errorf("with --yes: exit %d: %s%s", code, stdout, stderr)
	}
}
