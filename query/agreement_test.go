package query_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/reference"
)

// manifestOf encodes objects as JSON lists, in the format that the API server uses for lists.
func manifestOf(t *testing.T, o *cluster.Objects) string {
	t.Helper()
	var b strings.Builder
	for _, list := range []struct {
		kind, apiVersion string
		items            any
	}{
		{"NamespaceList", "v1", o.Namespaces},
		{"NodeList", "v1", o.Nodes},
		{"PodList", "v1", o.Pods},
		{"NetworkPolicyList", "networking.k8s.io/v1", o.Policies},
	} {
		text, err := json.Marshal(map[string]any{"kind": list.kind, "apiVersion": list.apiVersion, "items": list.items})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
		b.WriteByte('\n')
	}
	return b.String()
}

// linesOf formats flows as the JSON lines that EvaluateLines reads, one flow per
// line.
func linesOf(flows []flow.Flow) string {
	var b strings.Builder
	for _, f := range flows {
		fmt.Fprintf(&b, `{"src":%q,"dst":%q,"protocol":%q,"port":%d}`+"\n", f.Src, f.Dst, f.Protocol, f.DstPort)
	}
	return b.String()
}

// decisionLine is one line of the output of EvaluateLines. The test parses the output with
// its own type instead of a type of package query, because other programs that read the
// output also need their own types.
type decisionLine struct {
	Verdict         string
	Egress, Ingress struct {
		Verdict, Reason string
		Policy          *string
		Rule            *int
		IsolatedBy      []string
	}
}

// compareWithReference evaluates each flow with a Cluster and with test/reference, and
// reports the flows for which the two decisions differ.
func compareWithReference(t *testing.T, objects *cluster.Objects, flows []flow.Flow) {
	t.Helper()
	c := newCluster(t, manifestOf(t, objects))
	var out strings.Builder
	if err := c.EvaluateLines(strings.NewReader(linesOf(flows)), "flows", &out); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(strings.NewReader(out.String()))
	lines.Buffer(nil, 1<<20)
	for _, f := range flows {
		if !lines.Scan() {
			t.Fatalf("no decision about %s", f)
		}
		var got decisionLine
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := reference.Evaluate(*objects, f)
		if got.Verdict != want.Verdict.String() {
			t.Fatalf("%s: %s, want %s\n%s", f, lines.Bytes(), want.Verdict, objects)
		}
		for side, pair := range map[string]struct {
			verdict, reason string
			policy          *string
			index           *int
			isolatedBy      []string
			want            reference.Side
		}{
			"egress":  {got.Egress.Verdict, got.Egress.Reason, got.Egress.Policy, got.Egress.Rule, got.Egress.IsolatedBy, want.Egress},
			"ingress": {got.Ingress.Verdict, got.Ingress.Reason, got.Ingress.Policy, got.Ingress.Rule, got.Ingress.IsolatedBy, want.Ingress},
		} {
			ok := pair.verdict == pair.want.Verdict.String() && pair.reason == pair.want.Reason.String() && slices.Equal(pair.isolatedBy, pair.want.IsolatedBy)
			switch {
			case pair.want.Reason != rule.Matched:
				ok = ok && pair.policy == nil && pair.index == nil
			case pair.policy == nil || pair.index == nil:
				ok = false
			default:
				ok = ok && slices.Contains(pair.want.Rules, reference.RuleRef{Policy: *pair.policy, Index: *pair.index})
			}
			if !ok {
				t.Fatalf("%s: %s is %s, want %+v\n%s", f, side, lines.Bytes(), pair.want, objects)
			}
		}
	}
}

// TestDecisionsAgreeWithTheReference evaluates thousands of IPv4 and IPv6 flows in
// clusters with many similar objects, and compares each decision with
// test/reference.
func TestDecisionsAgreeWithTheReference(t *testing.T) {
	const flowsEach = 2000
	clusters := 40
	if testing.Short() {
		clusters = 8
	}
	for seed := range uint64(clusters) {
		t.Run(fmt.Sprintf("random/seed=%d", seed), func(t *testing.T) {
			random := cluster.NewRandom(cluster.Seeded(seed))
			for range 30 {
				random.Step()
			}
			flows := make([]flow.Flow, flowsEach)
			for i := range flows {
				flows[i] = random.Flow(4 + i%2*2)
			}
			compareWithReference(t, &random.Objects, flows)
		})
	}
	t.Run("realistic", func(t *testing.T) {
		realistic := cluster.NewRealistic(1, cluster.Size{Pods: 500, Policies: 60, Nodes: 4, DualStack: true})
		objects := realistic.Objects()
		compareWithReference(t, &objects, realistic.Flows(2, 2000, 0.5))
	})
}
