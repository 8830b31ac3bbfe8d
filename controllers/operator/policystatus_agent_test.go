package operator_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	agent "github.com/sluicenet/sluice/controllers/node"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// startAgent runs an agent, and beside it a socket that acknowledges whatever
// is published.
func startAgent(t *testing.T, node string) {
	t.Helper()
	stateDir := t.TempDir()
	dataplane, err := status.Serve(stateDir, status.Source{Status: func() (report.Status, error) {
		current, err := tree.Open(statedir.Current(stateDir))
		if err != nil {
			// There is none yet.
			return report.Status{Queueing: string(ruleset.QueueExpression)}, nil
		}
		defer current.Close()
		return report.Status{Generation: current.Generation(), Queueing: string(ruleset.QueueExpression)}, nil
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

// TestPolicyStatusOfAgents: with the agents themselves, a change of a policy is
// seen as enforced within seconds, also where it makes no generation on a node.
func TestPolicyStatusOfAgents(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"agent-a", "agent-b"} {
		must(t, w.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}))
		startAgent(t, name)
	}
	w.pod(t, "db", "agent-a", "10.8.0.1")
	w.pod(t, "db", "agent-b", "10.8.0.2")
	startWriter(t)
	np := w.policy(t, "db", "db")
	// It isolates the same pods again, and lets the same pods in.
	w.policy(t, "again", "db")
	right := enforced(2, 2, 2, everywhere, "2 of 2 nodes")
	w.wants(t, "db", right)
	w.wants(t, "again", right)

	var took []time.Duration
	for i := range 5 {
		np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": string(rune('a' + i))}},
		}}})
		must(t, w.Update(t.Context(), np))
		began := time.Now()
		w.wants(t, "db", changed(np, right))
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("from a change to the status that says enforced: median %s, longest %s", took[len(took)/2], took[len(took)-1])
	// Agents write at most once a second. Statuses that are written every ten
	// seconds would show here.
	if median := took[len(took)/2]; median > 5*time.Second {
		t.Errorf("half of the changes took longer than %s", median)
	}
}
