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
		{"ClusterNetworkPolicyList", "policy.networking.k8s.io/v1beta1", o.ClusterNetworkPolicies},
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
	Egress, Ingress sideOfLine
}

type sideOfLine struct {
	Verdict, Reason, Tier string
	Policy                *string
	Rule                  *int
	IsolatedBy            []string
	Passed                []struct {
		Tier, Policy string
		Rule         int
	}
}

// agrees reports whether the side is equal to a side of the reference. If several rules of
// NetworkPolicies match, the line can name any of them.
func (s *sideOfLine) agrees(want *reference.Side) bool {
	if s.Verdict != want.Verdict.String() || s.Reason != want.Reason.String() || !slices.Equal(s.IsolatedBy, want.IsolatedBy) || !s.passesAgree(want) {
		return false
	}
	if want.Reason != rule.Matched {
		return s.Policy == nil && s.Rule == nil && s.Tier == ""
	}
	tier := want.Tier.String()
	if want.Tier == rule.NetworkPolicyTier {
		tier = ""
	}
	return s.Policy != nil && s.Rule != nil && s.Tier == tier && slices.Contains(want.Rules, reference.RuleRef{Policy: *s.Policy, Index: *s.Rule})
}

func (s *sideOfLine) passesAgree(want *reference.Side) bool {
	var got []string
	for _, p := range s.Passed {
		got = append(got, fmt.Sprintf("%s %s[%d]", p.Tier, p.Policy, p.Rule))
	}
	var passes []string
	for _, p := range want.Passes {
		passes = append(passes, fmt.Sprintf("%s %s", p.Tier, p.RuleRef))
	}
	return slices.Equal(got, passes)
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
		for side, agrees := range map[string]bool{"egress": got.Egress.agrees(&want.Egress), "ingress": got.Ingress.agrees(&want.Ingress)} {
			if !agrees {
				t.Fatalf("%s: %s is %s, want %+v\n%s", f, side, lines.Bytes(), want, objects)
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
			random := cluster.NewTiered(cluster.Seeded(seed))
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
