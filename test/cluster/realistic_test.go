package cluster_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/reference"
)

func TestRealisticHasTheRequestedSize(t *testing.T) {
	for name, size := range map[string]cluster.Size{
		"one node":   {Pods: 40, Policies: 10},
		"small":      {Pods: 1000, Policies: 100},
		"dual stack": {Pods: 1000, Policies: 1000, DualStack: true},
		"few nodes":  {Pods: 3000, Policies: 50, Nodes: 3},
	} {
		t.Run(name, func(t *testing.T) {
			objects := cluster.NewRealistic(1, size).Objects()
			if diff := cmp.Diff(objects, cluster.NewRealistic(1, size).Objects()); diff != "" {
				t.Errorf("the same seed generates another cluster:\n%s", diff)
			}
			if len(objects.Policies) != size.Policies {
				t.Errorf("policies: got %d, want %d", len(objects.Policies), size.Policies)
			}
			if got, want := len(objects.Pods), size.Pods+len(objects.Nodes); got != want {
				t.Errorf("pods: got %d, want %d", got, want)
			}
			local, owners := 0, map[string]string{}
			for _, pod := range objects.Pods {
				if pod.Spec.HostNetwork {
					continue
				}
				if pod.Spec.NodeName == cluster.LocalNode {
					local++
				}
				for _, entry := range pod.Status.PodIPs {
					if other, taken := owners[entry.IP]; taken {
						t.Fatalf("%s and %s both have %s", other, pod.Name, entry.IP)
					}
					owners[entry.IP] = pod.Name
				}
			}
			if want := min(size.Pods, cluster.LocalPods); local != want {
				t.Errorf("pods on %s: got %d, want %d", cluster.LocalNode, local, want)
			}
		})
	}
}

func TestFlowsHaveTheRequestedHitRatio(t *testing.T) {
	r := cluster.NewRealistic(1, cluster.Size{Pods: 1000, Policies: 300, DualStack: true})
	objects := r.Objects()
	for _, ratio := range []float64{0, 0.5, 1} {
		hits, denied := 0, 0
		flows := r.Flows(1, 400, ratio)
		for _, f := range flows {
			decision := reference.Evaluate(objects, f)
			if decision.Egress.Reason == rule.Matched || decision.Ingress.Reason == rule.Matched {
				hits++
			}
			if decision.Verdict == rule.Deny {
				denied++
			}
		}
		t.Logf("hit ratio %v: %d of %d flows matched a rule, %d were denied", ratio, hits, len(flows), denied)
		if float64(hits) < ratio*float64(len(flows))*0.9 {
			t.Errorf("hit ratio %v: only %d of %d flows matched a rule", ratio, hits, len(flows))
		}
		if ratio < 1 && denied < len(flows)/10 {
			t.Errorf("hit ratio %v: only %d of %d flows were denied", ratio, denied, len(flows))
		}
	}
}

func TestRandomFlowsHaveEveryReason(t *testing.T) {
	reasons := map[rule.Reason]int{}
	verdicts := map[flow.Protocol]map[rule.Verdict]int{}
	for seed := range uint64(200) {
		r := cluster.NewRandom(cluster.Seeded(seed))
		for range 4 {
			r.Step()
		}
		for family := 4; family <= 6; family += 2 {
			for range 20 {
				f := r.Flow(family)
				decision := reference.Evaluate(r.Objects, f)
				reasons[decision.Egress.Reason]++
				reasons[decision.Ingress.Reason]++
				if verdicts[f.Protocol] == nil {
					verdicts[f.Protocol] = map[rule.Verdict]int{}
				}
				verdicts[f.Protocol][decision.Verdict]++
			}
		}
	}
	t.Logf("reasons %v, verdicts %v", reasons, verdicts)
	for _, reason := range []rule.Reason{rule.NotIsolated, rule.Matched, rule.NoRuleMatched, rule.SameNode, rule.SamePod, rule.External} {
		if reasons[reason] < 50 {
			t.Errorf("reason %s: only %d times", reason, reasons[reason])
		}
	}
	for protocol, count := range verdicts {
		if count[rule.Allow] == 0 || count[rule.Deny] == 0 {
			t.Errorf("protocol %s: verdicts %v, want both", protocol, count)
		}
	}
}
