package reference

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
)

// database is a policy that isolates a database. It allows connections from three kinds of
// clients and to one destination. It is based on the example policy in the Kubernetes
// documentation.
const database = `
podSelector: {matchLabels: {role: db}}
policyTypes: [Ingress, Egress]
ingress:
- from:
  - ipBlock: {cidr: 172.17.0.0/16, except: [172.17.1.0/24]}
  - namespaceSelector: {matchLabels: {project: myproject}}
  - podSelector: {matchLabels: {role: frontend}}
  ports: [{protocol: TCP, port: 6379}]
egress:
- to:
  - ipBlock: {cidr: 10.0.0.0/24}
  ports: [{protocol: TCP, port: 5978}]
`

func databaseCluster(t *testing.T) cluster.Objects {
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "test-network-policy"}}
	if err := yaml.UnmarshalStrict([]byte(database), &policy.Spec); err != nil {
		t.Fatal(err)
	}
	pod := func(namespace, name, node, address, role string) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"role": role}}}
		p.Spec.NodeName, p.Status.Phase, p.Status.PodIP = node, corev1.PodRunning, address
		return p
	}
	return cluster.Objects{
		Namespaces: []*corev1.Namespace{
			{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
			{ObjectMeta: metav1.ObjectMeta{Name: "project", Labels: map[string]string{"project": "myproject"}}},
			{ObjectMeta: metav1.ObjectMeta{Name: "other"}},
		},
		Nodes: []*corev1.Node{{
			ObjectMeta: metav1.ObjectMeta{Name: "one"},
			Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.168.0.1"}}},
		}},
		Pods: []*corev1.Pod{
			pod("default", "db", "one", "10.1.0.1", "db"),
			pod("default", "frontend", "two", "10.1.0.2", "frontend"),
			pod("default", "backend", "two", "10.1.0.3", "backend"),
			pod("project", "any", "two", "10.1.0.4", ""),
			pod("other", "frontend", "two", "10.1.0.5", "frontend"),
		},
		Policies: []*networkingv1.NetworkPolicy{policy},
	}
}

func TestEvaluateDocumentedExample(t *testing.T) {
	objects := databaseCluster(t)
	const db = "10.1.0.1"
	tests := map[string]struct {
		src, dst    string
		port        uint16
		wantEgress  rule.Reason
		wantIngress rule.Reason
	}{
		"frontend of the namespace":     {"10.1.0.2", db, 6379, rule.NotIsolated, rule.Matched},
		"frontend, another port":        {"10.1.0.2", db, 6380, rule.NotIsolated, rule.NoRuleMatched},
		"backend":                       {"10.1.0.3", db, 6379, rule.NotIsolated, rule.NoRuleMatched},
		"pod of the project":            {"10.1.0.4", db, 6379, rule.NotIsolated, rule.Matched},
		"frontend of another namespace": {"10.1.0.5", db, 6379, rule.NotIsolated, rule.NoRuleMatched},
		"address of the block":          {"172.17.2.1", db, 6379, rule.External, rule.Matched},
		"address of the except":         {"172.17.1.1", db, 6379, rule.External, rule.NoRuleMatched},
		"the database's node":           {"192.168.0.1", db, 22, rule.External, rule.SameNode},
		"another node":                  {"192.168.0.2", db, 6379, rule.External, rule.NoRuleMatched},
		"the database itself":           {db, db, 1, rule.SamePod, rule.SamePod},
		"the destination":               {db, "10.0.0.9", 5978, rule.Matched, rule.External},
		"the destination, another port": {db, "10.0.0.9", 5979, rule.NoRuleMatched, rule.External},
		"another address":               {db, "10.0.1.0", 5978, rule.NoRuleMatched, rule.External},
		"other pods":                    {"10.1.0.5", "10.1.0.3", 80, rule.NotIsolated, rule.NotIsolated},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := flow.Flow{Src: netip.MustParseAddr(tt.src), Dst: netip.MustParseAddr(tt.dst), Protocol: flow.TCP, SrcPort: 40000, DstPort: tt.port}
			got := Evaluate(objects, f)
			if got.Egress.Reason != tt.wantEgress || got.Ingress.Reason != tt.wantIngress {
				t.Errorf("%s: got %s, %s; want %s, %s", f, got.Egress.Reason, got.Ingress.Reason, tt.wantEgress, tt.wantIngress)
			}
			denied := tt.wantEgress == rule.NoRuleMatched || tt.wantIngress == rule.NoRuleMatched
			if (got.Verdict == rule.Deny) != denied {
				t.Errorf("%s: verdict %s", f, got.Verdict)
			}
			for _, side := range []Side{got.Egress, got.Ingress} {
				if side.Reason == rule.Matched && (len(side.Rules) != 1 || side.Rules[0] != RuleRef{Policy: "default/test-network-policy"}) {
					t.Errorf("%s: rules %v, want the only rule of the policy", f, side.Rules)
				}
			}
		})
	}
}

func TestEvaluateDoesNotChangeObjects(t *testing.T) {
	objects := databaseCluster(t)
	before := objects.String()
	f := flow.Flow{Src: netip.MustParseAddr("10.1.0.2"), Dst: netip.MustParseAddr("10.1.0.1"), Protocol: flow.TCP, DstPort: 6379}
	Evaluate(objects, f)
	if objects.String() != before {
		t.Error("evaluating a flow changed the objects")
	}
}

func TestLabelSyntax(t *testing.T) {
	for key, want := range map[string]bool{
		"app": true, "a.b-c_d": true, "example.com/app": true, "x/y": true,
		"": false, "/app": false, "example.com/": false, "a/b/c": false, "-a": false, "a-": false, "Example.com/app": false, "a b": false,
	} {
		if got := validLabelKey(key); got != want {
			t.Errorf("label key %q: valid %v, want %v", key, got, want)
		}
	}
}

func TestPortNameSyntax(t *testing.T) {
	for name, want := range map[string]bool{
		"http": true, "a": true, "8a": true, "a-b-c": true, "abcdefghijklmno": true,
		"": false, "80": false, "-a": false, "a-": false, "a--b": false, "HTTP": false, "a_b": false, "abcdefghijklmnop": false,
	} {
		if got := validPortName(name); got != want {
			t.Errorf("port name %q: valid %v, want %v", name, got, want)
		}
	}
}
