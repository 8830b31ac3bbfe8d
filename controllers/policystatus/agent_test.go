package policystatus_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	agent "github.com/sluicenet/sluice/controllers/node"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/test/policyapi"
)

// startAgent starts an agent and a status socket. The socket stands in for a dataplane that
// acknowledges each published tree.
func startAgent(t *testing.T, node string) {
	t.Helper()
	stateDir := t.TempDir()
	dataplane, err := status.Serve(stateDir, status.Source{Status: func() (report.Status, error) {
		current, err := tree.Open(statedir.Current(stateDir))
		if err != nil {
			// The agent has not published a tree yet.
			return report.Status{TreeFormats: tree.Formats(), Queueing: string(ruleset.QueueExpression)}, nil
		}
		defer current.Close()
		return report.Status{Generation: current.Generation(), TreeFormats: tree.Formats(), Queueing: string(ruleset.QueueExpression)}, nil
	}})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- agent.Run(ctx, server.Config(), agent.Options{
			Node: node, StateDir: stateDir, MetricsAddress: "0", HealthAddress: "0", Log: logr.Discard(), Registry: prometheus.NewRegistry(),
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("agent: %v", err)
		}
		must(t, dataplane.Close())
	})
}

// TestPolicyStatusWithAgents runs real agents. It checks that a changed policy counts as
// enforced within seconds, even if the change causes no new generation on a node.
func TestPolicyStatusWithAgents(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"agent-a", "agent-b"} {
		must(t, f.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}))
		startAgent(t, name)
	}
	f.createPod(t, "db", "agent-a", "10.8.0.1")
	f.createPod(t, "db", "agent-b", "10.8.0.2")
	startWriter(t)
	np := f.createPolicy(t, "db", "db")
	// This policy selects the same pods and allows the same peers as the existing policy,
	// so it causes no new generation.
	f.createPolicy(t, "again", "db")
	right := enforced(2, 2, 2, everywhere, "2 of 2 nodes")
	f.wantStatus(t, "db", right)
	f.wantStatus(t, "again", right)

	// An agent that has not written for 12 seconds reports a change within a second. Otherwise, it
	// reports the change when 10 to 12 seconds have passed since its last write.
	const quiet = 13 * time.Second
	for i, limit := range []time.Duration{5 * time.Second, 17 * time.Second, 5 * time.Second} {
		if limit < quiet {
			<-time.After(quiet)
		}
		np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": string(rune('a' + i))}},
		}}})
		must(t, f.Update(t.Context(), np))
		began := time.Now()
		f.wantStatus(t, "db", changed(np, right))
		t.Logf("from a change to the status that shows it as enforced: %s", time.Since(began))
		if took := time.Since(began); took > limit {
			t.Errorf("the status shows a change as enforced after %s, want at most %s", took, limit)
		}
	}
}

// TestClusterPolicyStatusWithAgents runs real agents. It checks that a ClusterNetworkPolicy
// counts as enforced on all nodes, even after a change that has no effect on the rules.
func TestClusterPolicyStatusWithAgents(t *testing.T) {
	f := newFixture(t)
	policyapi.Install(t, f, policyapi.V1beta1)
	for i, name := range []string{"tier-agent-a", "tier-agent-b"} {
		must(t, f.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}))
		startAgent(t, name)
		f.createPod(t, "db", name, fmt.Sprintf("10.9.2.%d", i+1))
	}
	startWriter(t)
	p := f.createClusterPolicy(t, denyAll)
	f.wantCondition(t, p, metav1.ConditionTrue, v1alpha1.ReasonEnforcedEverywhere, "2 of 2 nodes")
	// The second selector matches the same namespaces, and the spec has a new generation.
	policyapi.SetSpec(t, p, specFor(f.namespace, `{action: Deny, to: [{namespaces: {matchLabels: {}}}]}`))
	must(t, f.Update(t.Context(), p))
	f.wantCondition(t, p, metav1.ConditionTrue, v1alpha1.ReasonEnforcedEverywhere, "2 of 2 nodes")
	if p.GetGeneration() != 2 {
		t.Errorf("generation %d, want 2", p.GetGeneration())
	}
}
