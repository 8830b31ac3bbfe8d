package judge_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/judge"
	"github.com/sluicenet/sluice/manifest"
)

const cluster = `
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

func newCluster(t *testing.T) *judge.Cluster {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	set, err := manifest.Read([]string{"-"}, strings.NewReader(cluster))
	if err != nil {
		t.Fatal(err)
	}
	c := judge.New(set.Snapshot())
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

func TestJudge(t *testing.T) {
	c := newCluster(t)
	byWeb := judge.Side{Verdict: rule.Allow, Reason: rule.Matched, Policy: "default/web", Rule: 0, IsolatedBy: []string{"default/web"}}
	refusedByDB := judge.Side{Verdict: rule.Deny, Reason: rule.NoRuleMatched, IsolatedBy: []string{"default/db"}}
	open := judge.Side{Verdict: rule.Allow, Reason: rule.NotIsolated}
	external := judge.Side{Verdict: rule.Allow, Reason: rule.External}
	self := judge.Side{Verdict: rule.Allow, Reason: rule.SamePod}
	tests := map[string]struct {
		flow            flow.Flow
		want            rule.Verdict
		egress, ingress judge.Side
	}{
		"each side in its own node's tree": {
			tcp("10.0.1.1", "10.0.2.1", 5432), rule.Allow, byWeb,
			judge.Side{Verdict: rule.Allow, Reason: rule.Matched, Policy: "default/db", Rule: 1, IsolatedBy: []string{"default/db"}},
		},
		"one side refuses":           {tcp("10.0.1.1", "10.0.2.1", 80), rule.Deny, byWeb, refusedByDB},
		"the other side refuses":     {tcp("10.0.2.1", "10.0.1.1", 80), rule.Deny, refusedByDB, open},
		"from outside":               {tcp("172.16.0.1", "10.0.2.1", 80), rule.Allow, external, judge.Side{Verdict: rule.Allow, Reason: rule.Matched, Policy: "default/db", IsolatedBy: []string{"default/db"}}},
		"outside to outside":         {tcp("172.16.0.1", "172.16.0.2", 80), rule.Allow, external, external},
		"S10 a finished pod":         {tcp("172.16.0.1", "10.0.2.9", 80), rule.Allow, external, external},
		"S40 from the pod's node":    {tcp("192.168.0.2", "10.0.2.1", 1), rule.Allow, external, judge.Side{Verdict: rule.Allow, Reason: rule.SameNode}},
		"S40 from another node":      {tcp("192.168.0.1", "10.0.2.1", 1), rule.Deny, external, refusedByDB},
		"S41 to itself":              {tcp("10.0.2.1", "10.0.2.1", 1), rule.Allow, self, self},
		"an address of nobody known": {tcp("2001:db8::1", "2001:db8::2", 1), rule.Allow, external, external},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := c.Judge(test.flow)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(judge.Answer{Verdict: test.want, Egress: test.egress, Ingress: test.ingress}, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", test.flow, diff)
			}
			if verdict, err := c.Verdict(test.flow); err != nil || verdict != test.want {
				t.Errorf("Verdict gives %s, %v; Judge %s", verdict, err, test.want)
			}
		})
	}
}

func TestNear(t *testing.T) {
	c := newCluster(t)
	tests := map[string]struct {
		flow      flow.Flow
		direction rule.Direction
		want      []judge.Near
	}{
		"right peer, wrong port, and the other way round": {tcp("10.0.1.1", "10.0.2.1", 80), rule.Ingress, []judge.Near{
			{Policy: "default/db", Rule: 1, PeerMatches: true, Ports: []rule.Ports{{Protocol: 6, First: 5432, Last: 5432}}},
			{Policy: "default/db", Rule: 0},
		}},
		"nothing near":     {tcp("10.0.2.1", "10.0.1.1", 80), rule.Egress, nil},
		"allowed":          {tcp("10.0.1.1", "10.0.2.1", 5432), rule.Ingress, nil},
		"nobody's address": {tcp("172.16.0.1", "172.16.0.2", 80), rule.Ingress, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := c.Near(test.flow, test.direction)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("near misses (-want +got):\n%s", diff)
			}
		})
	}
}
