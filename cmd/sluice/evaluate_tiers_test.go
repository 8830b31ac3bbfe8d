package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/evaluation"
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
			// The other tests use v1beta1.
			file := writeFile(t, "objects.json", strings.ReplaceAll(evaluation.Manifest(t, &objects), "k8s.io/v1beta1", "k8s.io/v1alpha2"))
			code, stdout, stderr := sluice(evaluation.Lines(flows), "evaluate", "-f", file, "--flows", "-")
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

var evaluatedFlows = flag.Int("flows", 20_000, "number of flows that TestEvaluateRandomClusters evaluates")

// TestEvaluateRandomClusters runs `sluice evaluate` on flows of random clusters that have tiers. It
// compares each decision with the decision of test/reference. For a longer test, run go test
// ./cmd/sluice -run TestEvaluateRandomClusters -flows=1000000.
func TestEvaluateRandomClusters(t *testing.T) {
	const flowsEach = 2500
	evaluated, different := 0, 0
	for seed := uint64(1000); evaluated < *evaluatedFlows && different == 0; seed++ {
		random := cluster.NewTiered(cluster.Seeded(seed))
		for range 30 {
			random.Step()
		}
		flows := make([]flow.Flow, flowsEach)
		for i := range flows {
			flows[i] = random.Flow(4 + i%2*2)
		}
		file := writeFile(t, "objects.json", evaluation.Manifest(t, &random.Objects))
		code, stdout, stderr := sluice(evaluation.Lines(flows), "evaluate", "-f", file, "--flows", "-")
		if code != exitDone {
			t.Fatalf("seed %d: exit %d: %s", seed, code, stderr)
		}
		n, err := evaluation.Compare(&random.Objects, flows, strings.NewReader(stdout))
		if err != nil {
			t.Errorf("seed %d: %d decisions differ: %v", seed, n, err)
		}
		evaluated, different = evaluated+flowsEach, different+n
	}
	t.Logf("%d flows, %d decisions differ", evaluated, different)
}
