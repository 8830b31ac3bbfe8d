package query_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query"
)

// caseCluster returns a cluster with the manifests of a case, including the pods of workloads.
func caseCluster(t *testing.T, path string) *query.Cluster {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	set, err := manifest.Read([]string{path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set.AddTemplates()
	set.AssignAddresses()
	c := query.NewCluster(set)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestExplainNamesTheCause explains flows of cases from public reports, and checks that the text
// names the cause of the verdict.
func TestExplainNamesTheCause(t *testing.T) {
	for name, tt := range map[string]struct {
		// report is the public report after which the case was written.
		report, file   string
		from, to, port string
		verdict        string
		want           []string
	}{
		"a port of a rendered chart": {
			report: "kubernetes-retired/dashboard#8045", file: "05-helm-rendered-no-pods", from: "203.0.113.1", to: "deploy/shop-web", port: "8080", verdict: "Deny",
			want: []string{"Ingress to default/deployment/shop-web (pod template of the Deployment) is denied"},
		},
		"the internet without DNS": {
			report: "kubernetes/kubernetes#55406", file: "15-internet-only-loses-dns", from: "job", to: "coredns-1", port: "dns/UDP", verdict: "Deny",
			want: []string{"Other peers are allowed on this port: sandbox/internet-only egress[0] to 0.0.0.0/0 except 10.0.0.0/8"},
		},
		"from a pod in the host network": {
			report: "charmed-kubernetes/bundle#765", file: "16-host-network-peer", from: "ingress/controller-n2", to: "web", port: "80", verdict: "Deny",
			want: []string{"No address matches the peers of a rule for this port: shop/by-namespace ingress[0]", "selectors do not match pods in the host network", "192.168.0.2/32"},
		},
		"to a pod in the host network": {
			report: "stolostron/search-v2-operator#781", file: "16-host-network-peer", from: "web", to: "kube-apiserver-n2", port: "6443", verdict: "Deny",
			want: []string{"shop/to-api egress[0] selects pod kube-system/kube-apiserver-n2 by its labels", "192.168.0.2/32"},
		},
		"the address of the API server's Service": {
			report: "kubernetes/kubernetes#99113", file: "17-service-address-as-peer", from: "op", to: "10.96.0.1", port: "443", verdict: "Deny",
			want: []string{"Service default/kubernetes port 443 -> 1 pod on TCP 6443", "A rule allows 10.96.0.1, the address of the Service: shop/op egress[0]", "on TCP 6443"},
		},
		"the name of the API server's Service": {
			report: "cert-manager/cert-manager#5788", file: "17-service-address-as-peer", from: "op", to: "kubernetes", port: "443", verdict: "Deny",
			want: []string{"Denied: shop/op to Service default/kubernetes on TCP port 443"},
		},
		"the address of the DNS Service": {
			report: "KBVE/kbve#7793", file: "17-service-address-as-peer", from: "op", to: "10.96.0.10", port: "53/UDP", verdict: "Deny",
			want: []string{"Service kube-system/kube-dns port 53 -> 1 pod on UDP 53: kube-system/coredns-1", "A rule allows 10.96.0.10, the address of the Service"},
		},
		"the port of a Service, to the Service": {
			report: "projectcalico/calico#8049", file: "18-service-port-not-pod-port", from: "front", to: "svc/db", port: "80", verdict: "Deny",
			want: []string{"A rule allows TCP 80, the port of the Service: shop/db ingress[0]", "allow TCP 8080 instead"},
		},
		"the port of a Service, to the pod": {
			report: "kubernetes/website#8295", file: "18-service-port-not-pod-port", from: "front", to: "db", port: "80", verdict: "Allow",
			want: []string{"Service shop/db translates its port 80 to TCP 8080 of this pod"},
		},
		"an empty from": {
			report: "huggingface/chat-ui#2492", file: "19-empty-from-of-a-template", from: "203.0.113.1", to: "app", port: "3000", verdict: "Allow",
			want: []string{"shop/from-null ingress[0] from anywhere on TCP 3000"},
		},
		"a CronJob between runs": {
			report: "derailed/popeye#153", file: "21-cronjob-between-runs", from: "cronjob/nightly", to: "db-0", port: "5432", verdict: "Allow",
			want: []string{"shop/db ingress[0] from pods app=nightly"},
		},
		"IPv4 and IPv6 differ": {
			report: "kubernetes/kubernetes#86185", file: "23-dual-stack-v4-only", from: "cli", to: "web", port: "443", verdict: query.Mixed,
			want: []string{"Allowed over IPv4, denied over IPv6: shop/cli to shop/web", "shop/web (fd00::1) is denied", "from 0.0.0.0/0 on TCP 443"},
		},
		"no egress without policyTypes": {
			report: "kubernetes/website#24582", file: "24-egress-empty-without-types", from: "app", to: "203.0.113.1", port: "443", verdict: "Allow",
			want: []string{"Egress from shop/app (10.0.0.1) is allowed: no policy isolates the pod for egress"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := caseCluster(t, filepath.Join("testdata", "cases", tt.file+".yaml"))
			e, err := c.Explain(query.ExplainQuestion{From: tt.from, To: tt.to, Target: query.Target{Port: tt.port, Protocol: "TCP"}})
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			if err := e.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			if e.Verdict != tt.verdict {
				t.Errorf("verdict %s, want %s (see %s)", e.Verdict, tt.verdict, tt.report)
			}
			for _, want := range tt.want {
				if !strings.Contains(text.String(), want) {
					t.Errorf("%q is missing (see %s) in\n%s", want, tt.report, &text)
				}
			}
		})
	}
}

func TestMatrixShowsWhereTheFamiliesDiffer(t *testing.T) {
	manifests, err := os.ReadFile(filepath.Join("testdata", "cases", "23-dual-stack-v4-only.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got := matrixText(t, string(manifests), query.MatrixQuestion{Target: query.Target{Port: "443", Protocol: "TCP"}})
	want := "shop/cli  .         4\nshop/web  +         .\n\n+ allowed, - denied, 4 allowed only over IPv4, 6 allowed only over IPv6, . not evaluated (the same pod, no address family in common, or no such port)\n"
	if !strings.HasSuffix(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

const services = `
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: shop}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db-0, namespace: shop, labels: {app: db, role: main}}
spec: {containers: [{ports: [{name: sql, containerPort: 5432}]}]}
status: {phase: Running, podIP: 10.0.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: db-1, namespace: shop, labels: {app: db}}
spec: {containers: [{ports: [{name: sql, containerPort: 15432}]}]}
status: {phase: Running, podIP: 10.0.0.3}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: 10.96.0.2, selector: {app: db}, ports: [{port: 80, targetPort: sql}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: shop}
spec: {clusterIP: None, selector: {app: db}}
---
apiVersion: v1
kind: Service
metadata: {name: alias, namespace: shop}
spec: {type: ExternalName, externalName: db.example.com}
---
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: shop}
spec: {clusterIP: 10.96.0.3, selector: {app: other}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: manual, namespace: shop}
spec: {clusterIP: 10.96.0.4, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: sliced, namespace: shop}
spec: {clusterIP: 10.96.0.5, selector: {app: db}, ports: [{name: a, port: 80, targetPort: 1}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: sliced-x, namespace: shop, labels: {kubernetes.io/service-name: sliced}}
addressType: IPv4
ports: [{name: a, port: 5432}]
endpoints:
- {addresses: [10.0.0.2], targetRef: {kind: Pod, name: db-0}}
- {addresses: [10.0.0.3], conditions: {ready: false}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: main, namespace: shop}
spec: {podSelector: {matchLabels: {role: main}}, ingress: [{from: [{podSelector: {matchLabels: {app: absent}}}]}]}
`

func TestExplainToAService(t *testing.T) {
	for name, tt := range map[string]struct{ to, port, verdict, want string }{
		"backends differ":          {"svc/db", "80", query.Mixed, "Service shop/db port 80 -> 1 pod on TCP 5432, 1 pod on TCP 15432\n\n  Denied for shop/db-0:\n"},
		"by DNS name":              {"db.shop.svc.cluster.local", "80", query.Mixed, "Partly allowed: shop/client to Service shop/db on TCP port 80\n"},
		"headless":                 {"headless", "15432", query.Mixed, "headless Service shop/headless -> 2 pods on TCP 15432\n"},
		"EndpointSlices":           {"10.96.0.5", "a", "Deny", "Service shop/sliced port 80 -> 1 pod on TCP 5432: shop/db-0\n"},
		"no rule with a known pod": {"svc/sliced", "80", "Deny", "No address matches the peers of a rule for this port: shop/main ingress[0] from pods app=absent in namespace shop on every port\n"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := newCluster(t, services).Explain(query.ExplainQuestion{From: "client", To: tt.to, Target: query.Target{Port: tt.port, Protocol: "TCP"}})
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			if err := e.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			if e.Verdict != tt.verdict || !strings.Contains(text.String(), tt.want) {
				t.Errorf("verdict %s, want %s; %q in\n%s", e.Verdict, tt.verdict, tt.want, &text)
			}
		})
	}
}

// TestExplainToANodePort checks that explain names the Service of a node port.
func TestExplainToANodePort(t *testing.T) {
	const objects = services + `
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}
---
apiVersion: v1
kind: Service
metadata: {name: public, namespace: shop}
spec: {type: NodePort, clusterIP: 10.96.0.6, selector: {app: db}, ports: [{port: 80, targetPort: sql, nodePort: 30080}]}
`
	const want = "TCP 30080 is the node port of Service shop/public"
	explain := func(from, port string) (*query.Explanation, error) {
		return newCluster(t, objects).Explain(query.ExplainQuestion{From: from, To: "192.168.0.1", Target: query.Target{Port: port, Protocol: "TCP"}})
	}
	e, err := explain("client", "30080")
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(e.Hints, "\n"); !strings.Contains(text, want) {
		t.Errorf("hints %q, want %q", text, want)
	}
	if _, err := explain("203.0.113.1", "30080"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
	if e, err = explain("client", "30081"); err != nil || len(e.Hints) > 0 {
		t.Errorf("error %v, hints %q for another port, want none", err, e.Hints)
	}
}

func TestExplainToAServiceThatCannotBeEvaluated(t *testing.T) {
	for name, tt := range map[string]struct{ from, to, port, want string }{
		"ExternalName":        {"client", "svc/alias", "80", "Service shop/alias has the type ExternalName: it is an alias for the DNS name db.example.com"},
		"no pods":             {"client", "svc/empty", "80", "Service shop/empty has no backends: no pod has app=other in namespace shop"},
		"backends unknown":    {"client", "svc/manual", "80", "has no selector, and the input contains no EndpointSlices of it"},
		"another port":        {"client", "10.96.0.2", "81", "Service shop/db has no TCP port 81; it has TCP 80"},
		"another protocol":    {"client", "svc/db", "80/UDP", "Service shop/db has no UDP port 80; it has TCP 80; use port 80/TCP"},
		"no such Service":     {"client", "svc/other", "80", "no Service of that name; there are shop/alias, shop/db"},
		"a Service as source": {"svc/db", "client", "80", "a Service opens no connections; give one of its pods"},
		"two protocols":       {"client", "svc/db", "80/XYZ", `"XYZ"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newCluster(t, services).Explain(query.ExplainQuestion{From: tt.from, To: tt.to, Target: query.Target{Port: tt.port, Protocol: "TCP"}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}
