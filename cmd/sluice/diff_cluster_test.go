package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// connected starts a simulated API server with the pods shop/web and shop/db on two nodes. If
// Sluice is installed, both nodes report the same connection from web to db, and the same flow.
// Other tests use a real API server, for example those in controllers/observe.
func connected(t *testing.T, installed bool) (kubeconfig string) {
	t.Helper()
	list := func(kind, apiVersion string, items ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"kind":"%sList","apiVersion":"%s","metadata":{},"items":[%s]}`, kind, apiVersion, strings.Join(items, ","))
		}
	}
	pod := func(name, node, address string) string {
		return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"shop","labels":{"app":%[1]q}},"spec":{"nodeName":%q},"status":{"phase":"Running","podIP":%q,"podIPs":[{"ip":%[3]q}]}}`, name, node, address)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/pods", list("Pod", "v1", pod("web", "node-0", "10.0.0.1"), pod("db", "node-1", "10.0.0.2")))
	mux.HandleFunc("GET /api/v1/namespaces", list("Namespace", "v1", `{"metadata":{"name":"shop"}}`))
	mux.HandleFunc("GET /api/v1/nodes", list("Node", "v1", `{"metadata":{"name":"node-0"}}`, `{"metadata":{"name":"node-1"}}`))
	mux.HandleFunc("GET /apis/networking.k8s.io/v1/networkpolicies", list("NetworkPolicy", "networking.k8s.io/v1"))
	mux.HandleFunc("GET /api/v1/services", list("Service", "v1"))
	mux.HandleFunc("GET /api/v1/endpoints", list("Endpoints", "v1"))
	mux.HandleFunc("GET /apis/discovery.k8s.io/v1/endpointslices", list("EndpointSlice", "discovery.k8s.io/v1"))
	for resource, kind := range map[string]string{"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet", "replicasets": "ReplicaSet"} {
		mux.HandleFunc("GET /apis/apps/v1/"+resource, list(kind, "apps/v1"))
	}
	mux.HandleFunc("GET /apis/batch/v1/jobs", list("Job", "batch/v1"))
	mux.HandleFunc("GET /apis/batch/v1/cronjobs", list("CronJob", "batch/v1"))
	if !installed {
		return serve(t, mux)
	}
	mux.HandleFunc("GET /apis/policy.sluice.dev/v1alpha1/nodeenforcers", list("NodeEnforcer", "policy.sluice.dev/v1alpha1", `{"metadata":{"name":"node-0"}}`, `{"metadata":{"name":"node-1"}}`))
	const observe = "GET /apis/observe.policy.sluice.dev/v1alpha1"
	mux.HandleFunc(observe+"/nodeconnections/{node}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"protocol":"TCP","src":"10.0.0.1","srcPort":40000,"dst":"10.0.0.2","dstPort":5432}`)
		fmt.Fprintln(w, `{"protocol":"TCP","src":"10.0.0.2","srcPort":40000,"dst":"10.0.0.1","dstPort":80}`)
		if r.PathValue("node") == "node-0" {
			fmt.Fprintln(w, "{}")
		}
	})
	mux.HandleFunc(observe+"/nodeflows", func(w http.ResponseWriter, r *http.Request) {
		for range 2 {
			fmt.Fprintln(w, `{"time":"2026-11-22T20:00:00Z","verdict":"Allow","protocol":"TCP","src":"10.0.0.1","srcPort":40001,"dst":"10.0.0.2","dstPort":5432}`)
		}
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	return serve(t, mux)
}

const denyDB = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 80}]}]}
`

// TestDiffOfCluster checks that the command lists the open connections and the flows of all nodes.
func TestDiffOfCluster(t *testing.T) {
	code, stdout, stderr := sluice(denyDB, "diff", "-f", "-", "--kubeconfig", connected(t, true), "--watch", "2s")
	const cause = "policy shop/db isolates the destination, and no rule allows it\n"
	const flow = "denied: TCP shop/web (10.0.0.1:40001) -> shop/db (10.0.0.2:5432): " + cause
	want := `policy shop/db added

addresses outside the cluster, shop/web -> shop/db loses every port except TCP 80: ` + cause + `
1 of 4 open connections would be cut
  TCP shop/web (10.0.0.1:40000) -> shop/db (10.0.0.2:5432): ` + cause + `not included: node node-1: its list of open connections is incomplete
node-1  ` + flow + `
4 evaluated flows: 2 would be denied and 0 would be allowed after the change
      2 times ` + flow
	if code != exitDone || stdout != want {
		t.Errorf("exit %d: %s%s", code, stderr, cmp.Diff(want, stdout))
	}
}

// TestDiffWithoutSluice checks that the command shows changes of verdicts on a cluster without Sluice,
// and states why it shows no open connections.
func TestDiffWithoutSluice(t *testing.T) {
	const changes = "policy shop/db added\n\naddresses outside the cluster, shop/web -> shop/db loses every port except TCP 80: policy shop/db isolates the destination, and no rule allows it\n"
	kubeconfig := connected(t, false)
	code, stdout, stderr := sluice(denyDB, "diff", "-f", "-", "--kubeconfig", kubeconfig)
	want := changes + "note: open connections are not included: listing nodeenforcers.policy.sluice.dev: this cluster does not serve the kinds of policy.sluice.dev: Sluice is not installed in it\n"
	if code != exitDone || stdout != want {
		t.Errorf("exit %d: %s%s", code, stderr, cmp.Diff(want, stdout))
	}
	code, stdout, stderr = sluice(denyDB, "diff", "-f", "-", "--kubeconfig", kubeconfig, "--connections=false")
	if code != exitDone || stdout != changes {
		t.Errorf("without connections: exit %d: %s%s", code, stderr, cmp.Diff(changes, stdout))
	}
}

// TestDiffFlagsFirst checks that the command rejects wrong flags before it reads the cluster or
// files.
func TestDiffFlagsFirst(t *testing.T) {
	code, stdout, stderr := sluice("", "diff", "--base", "missing.yaml", "--delete", "shop/db", "--watch", "2s")
	if want := "--base cannot be used with --watch, because manifests have no flows\n"; code != exitWrongInput || stdout != "" || stderr != want {
		t.Errorf("exit %d: %s%s", code, stdout, cmp.Diff(want, stderr))
	}
}
