package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/stage"
	"github.com/sluicenet/sluice/test/tiers"
)

// TestEvaluateTiers runs the command `sluice evaluate` on the cases in test/tiers.
func TestEvaluateTiers(t *testing.T) {
	for _, row := range tiers.Rows() {
		t.Run(row.Name, func(t *testing.T) {
			objects := stage.Objects(t, row.Objects)
			var flows []flow.Flow
			var want []stage.Expectation
			for _, e := range stage.Expectations(t, row.Want) {
				for _, f := range stage.Flows(t, &objects, &e) {
					flows, want = append(flows, f), append(want, e)
				}
			}
			code, stdout, stderr := sluice(linesOf(flows), "evaluate", "-f", writeFile(t, "objects.json", listsOf(t, &objects)), "--flows", "-")
			lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
			if code != exitDone || len(lines) != len(want) {
				t.Fatalf("exit %d, %d lines for %d flows: %s", code, len(lines), len(want), stderr)
			}
			for i, line := range lines {
				var got struct{ Egress, Ingress decidedSide }
				if err := json.Unmarshal([]byte(line), &got); err != nil {
					t.Fatal(err)
				}
				if got.Egress.String() != want[i].Egress || got.Ingress.String() != want[i].Ingress {
					t.Errorf("%s\n%s: got %s | %s", want[i].Line, flows[i], got.Egress, got.Ingress)
				}
			}
		})
	}
}

// decidedSide is one side of a decision in the output of `sluice evaluate`.
type decidedSide struct {
	Verdict, Reason, Tier, Policy string
	Rule                          int
	IsolatedBy                    []string
	Passed                        []struct {
		Tier, Policy string
		Rule         int
	}
}

// String returns the side in the format that package test/tiers uses for expected sides.
func (s decidedSide) String() string {
	var text strings.Builder
	for _, p := range s.Passed {
		fmt.Fprintf(&text, "Pass %s %s[%d], ", p.Tier, p.Policy, p.Rule)
	}
	switch {
	case s.Reason == "NoRuleMatched":
		text.WriteString("Denied by " + strings.Join(s.IsolatedBy, " "))
	case s.Reason != "Rule":
		text.WriteString(s.Reason)
	case s.Tier == "":
		fmt.Fprintf(&text, "Rule %s[%d]", s.Policy, s.Rule)
	default:
		fmt.Fprintf(&text, "%s %s %s[%d]", map[string]string{"Allow": "Accept", "Deny": "Deny"}[s.Verdict], s.Tier, s.Policy, s.Rule)
	}
	return text.String()
}

// listsOf encodes objects as JSON lists, as an API server returns them.
func listsOf(t *testing.T, o *cluster.Objects) string {
	t.Helper()
	var text strings.Builder
	for _, list := range []struct {
		apiVersion, kind string
		items            any
	}{
		{"v1", "NamespaceList", o.Namespaces},
		{"v1", "NodeList", o.Nodes},
		{"v1", "PodList", o.Pods},
		{"networking.k8s.io/v1", "NetworkPolicyList", o.Policies},
		{"policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicyList", o.ClusterNetworkPolicies},
	} {
		encoded, err := json.Marshal(map[string]any{"apiVersion": list.apiVersion, "kind": list.kind, "items": list.items})
		if err != nil {
			t.Fatal(err)
		}
		text.Write(append(encoded, '\n'))
	}
	return text.String()
}
