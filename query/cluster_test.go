package query_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query"
)

// webAndDB contains the manifests of a cluster with the pods web and db. The egress rule for
// pod web allows connections to pod db on all ports. The ingress rules for pod db allow
// connections from pod web only on TCP port 5432.
const webAndDB = `
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec: {nodeName: n1}
status: {phase: Running, podIP: 10.0.1.1, hostIP: 192.168.0.1}
---
apiVersion: v1
kind: Pod
metadata: {name: db, labels: {app: db}}
spec: {nodeName: n2}
status: {phase: Running, podIP: 10.0.2.1, hostIP: 192.168.0.2}
---
apiVersion: v1
kind: Pod
metadata: {name: old, labels: {app: db}}
spec: {nodeName: n2}
status: {phase: Succeeded, podIP: 10.0.2.9}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db}
spec:
  podSelector: {matchLabels: {app: db}}
  policyTypes: [Ingress, Egress]
  ingress:
  - {from: [{ipBlock: {cidr: 172.16.0.0/16}}], ports: [{port: 80}]}
  - {from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
  - {to: [{podSelector: {matchLabels: {app: db}}}]}
`

// newCluster returns a Cluster for the objects in manifests. At the end of the test,
// newCluster closes the Cluster and checks that it has left no file behind.
func newCluster(t *testing.T, manifests string) *query.Cluster {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	set, err := manifest.Read([]string{"-"}, strings.NewReader(manifests))
	if err != nil {
		t.Fatal(err)
	}
	c := query.NewCluster(set)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "*")); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	})
	return c
}

func tcp(src, dst string, port uint16) flow.Flow {
	return flow.Flow{Src: netip.MustParseAddr(src), Dst: netip.MustParseAddr(dst), Protocol: flow.TCP, DstPort: port}
}

// The function `matched` returns the expected side for a flow that a rule of the policy allows. No
// other policy isolates the pod.
func matched(policy string, index int) report.Side {
	return report.Side{Verdict: "Allow", Reason: "Rule", Policy: &policy, Rule: &index, IsolatedBy: []string{policy}}
}

func TestEvaluate(t *testing.T) {
	c := newCluster(t, webAndDB)
	deniedByDB := report.Side{Verdict: "Deny", Reason: "NoRuleMatched", IsolatedBy: []string{"default/db"}}
	notIsolated := report.Side{Verdict: "Allow", Reason: "NotIsolated"}
	external := report.Side{Verdict: "Allow", Reason: "External"}
	self := report.Side{Verdict: "Allow", Reason: "SamePod"}
	tests := map[string]struct {
		flow            flow.Flow
		want            rule.Verdict
		egress, ingress report.Side
	}{
		"each side in the tree of the pod's node": {tcp("10.0.1.1", "10.0.2.1", 5432), rule.Allow, matched("default/web", 0), matched("default/db", 1)},
		"ingress is denied":                       {tcp("10.0.1.1", "10.0.2.1", 80), rule.Deny, matched("default/web", 0), deniedByDB},
		"egress is denied":                        {tcp("10.0.2.1", "10.0.1.1", 80), rule.Deny, deniedByDB, notIsolated},
		"from outside":                            {tcp("172.16.0.1", "10.0.2.1", 80), rule.Allow, external, matched("default/db", 0)},
		"from outside to outside":                 {tcp("172.16.0.1", "172.16.0.2", 80), rule.Allow, external, external},
		"S10 a finished pod":                      {tcp("172.16.0.1", "10.0.2.9", 80), rule.Allow, external, external},
		"S40 from the pod's node":                 {tcp("192.168.0.2", "10.0.2.1", 1), rule.Allow, external, report.Side{Verdict: "Allow", Reason: "SameNode"}},
		"S40 from another node":                   {tcp("192.168.0.1", "10.0.2.1", 1), rule.Deny, external, deniedByDB},
		"S41 a pod to itself":                     {tcp("10.0.2.1", "10.0.2.1", 1), rule.Allow, self, self},
		"a family that no pod has":                {tcp("2001:db8::1", "2001:db8::2", 1), rule.Allow, external, external},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := c.Evaluate(test.flow)
			if err != nil {
				t.Fatal(err)
			}
			want := query.Decision{Verdict: test.want.String(), Egress: test.egress, Ingress: test.ingress}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.flow, diff)
			}
			if verdict, err := c.Verdict(test.flow); err != nil || verdict != test.want {
				t.Errorf("Verdict returns %s, %v; Evaluate %s", verdict, err, test.want)
			}
		})
	}
}

func TestNearMisses(t *testing.T) {
	c := newCluster(t, webAndDB)
	tests := map[string]struct {
		flow      flow.Flow
		direction rule.Direction
		want      []rule.NearMiss
	}{
		"another port before another peer": {tcp("10.0.1.1", "10.0.2.1", 80), rule.Ingress, []rule.NearMiss{
			{Source: rule.Source{Tier: rule.NetworkPolicyTier, Policy: "default/db", Index: 1, Action: rule.ActionAccept}, Differs: rule.PortPart, Ports: []rule.Ports{{Protocol: 6, First: 5432, Last: 5432}}},
			{Source: rule.Source{Tier: rule.NetworkPolicyTier, Policy: "default/db", Index: 0, Action: rule.ActionAccept}, Differs: rule.PeerPart},
		}},
		"no near miss":    {tcp("10.0.2.1", "10.0.1.1", 80), rule.Egress, nil},
		"an allowed flow": {tcp("10.0.1.1", "10.0.2.1", 5432), rule.Ingress, nil},
		"not a pod":       {tcp("172.16.0.1", "172.16.0.2", 80), rule.Ingress, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := c.NearMisses(test.flow, test.direction)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(test.want) || len(got) > 0 && !cmp.Equal(test.want, got) {
				t.Errorf("near misses (-want +got):\n%s", cmp.Diff(test.want, got))
			}
		})
	}
}

// header contains the first fields in the JSON form of every answer.
type header struct{ APIVersion, Kind string }

func TestAnswersHaveAnAPIVersionAndAKind(t *testing.T) {
	c := newCluster(t, webAndDB)
	target := query.Target{Port: "80", Protocol: "TCP"}
	explanation, err := c.Explain(query.ExplainQuestion{From: "web", To: "db", Target: target})
	if err != nil {
		t.Fatal(err)
	}
	matrix, err := c.Matrix(&query.MatrixQuestion{Target: target})
	if err != nil {
		t.Fatal(err)
	}
	lint, err := c.Lint(query.LintOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for kind, answer := range map[string]any{
		"Explanation": explanation, "Matrix": matrix, "LintReport": lint,
	} {
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		var got header
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if want := (header{"query.sluice.dev/v1alpha1", kind}); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}
