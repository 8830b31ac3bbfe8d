package node_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/digest"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/eventually"
)

// TestNodeEnforcer checks that the NodeEnforcer shows the published and the acknowledged
// generation, even after other clients changed or deleted the object.
func TestNodeEnforcer(t *testing.T) {
	c := newCluster(t)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "status"}}
	c.must(t, c.Create(t.Context(), node))
	a := start(t, server.Config(), "status", t.TempDir())
	db := c.pod(t, "db", "status", "10.9.0.2")
	c.pod(t, "web", "status", "10.9.0.3")
	np := c.policyFor(t, "db")
	a.wantVerdict(t, "192.0.2.1", "10.9.0.2", rule.Deny)
	got := a.wantStatus(t, c, func(s *v1alpha1.NodeEnforcerStatus) error {
		// A tree can contain the policy before the agent has processed the event of the policy,
		// so wait until the status contains the version of the policy.
		return errors.Join(published(a, s), conditionIs(s, v1alpha1.ConditionReady, v1alpha1.ReasonNoDataplane))
	})
	if owner := metav1.GetControllerOf(got); owner != nil || len(got.OwnerReferences) != 1 || got.OwnerReferences[0].UID != node.UID {
		t.Errorf("owners %v, want the Node", got.OwnerReferences)
	}
	if want := (v1alpha1.PodCounts{Local: 2, Isolated: 1}); got.Status.Pods != want || got.Status.Policies != 1 {
		t.Errorf("%+v, %d policies: want %+v, 1 policy", got.Status.Pods, got.Status.Policies, want)
	}
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err != nil || got.Status.BootID != strings.TrimSpace(string(id)) {
		t.Errorf("boot ID %q, want %q (%v)", got.Status.BootID, id, err)
	}
	if got.Status.Tree.SizeBytes == 0 {
		t.Errorf("%+v: want a size", got.Status.Tree)
	}

	a.acknowledge(t, c)
	enforcing := func(s *v1alpha1.NodeEnforcerStatus) error {
		if err := errors.Join(published(a, s), conditionIs(s, v1alpha1.ConditionReady, v1alpha1.ReasonEnforcing)); err != nil {
			return err
		}
		if s.Acknowledged == nil || s.Acknowledged.Number != s.Published.Number {
			return fmt.Errorf("acknowledged %+v, published %+v", s.Acknowledged, s.Published)
		}
		if s.Kernel == nil || s.Kernel.Queueing != v1alpha1.QueueExpression || s.Kernel.Release == "" {
			return fmt.Errorf("kernel %+v", s.Kernel)
		}
		if want := (v1alpha1.Verdicts{Allowed: 3, Denied: 2, Unreadable: 1}); s.Verdicts != want {
			return fmt.Errorf("verdicts %+v, want %+v", s.Verdicts, want)
		}
		if s.ConnectionsReevaluated != 5 {
			return fmt.Errorf("%d connections re-evaluated, want 5", s.ConnectionsReevaluated)
		}
		return nil
	}
	got = a.wantStatus(t, c, enforcing)
	wantEnforced := func() {
		t.Helper()
		read, _ := read.NetworkPolicy(np)
		pod, _ := policy.ReadPod(db)
		want := digest.Join([]digest.Digest{digest.Of(read, []*policy.Pod{pod})})
		a.wantStatus(t, c, func(s *v1alpha1.NodeEnforcerStatus) error {
			if !bytes.Equal(s.Enforced, want) {
				return fmt.Errorf("enforced %x, want %x", s.Enforced, want)
			}
			return nil
		})
	}
	wantEnforced()
	// The new generation of the policy has the same meaning as the previous one, so the agent
	// publishes no tree.
	generation := a.generation(t)
	np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
	c.must(t, c.Update(t.Context(), np))
	wantEnforced()
	if now := a.generation(t); now != generation {
		t.Errorf("generation %d is published, want still %d", now, generation)
	}
	c.must(t, c.Get(t.Context(), client.ObjectKeyFromObject(got), got))
	a.wantEnforcedCheck(t, "NetworkPolicy="+np.ResourceVersion, true)
	a.wantEnforcedCheck(t, "NetworkPolicy=1&Pod=18446744073709551615", false)
	a.wantEnforcedCheck(t, "NetworkPolicy=one", false)

	// The Lease belongs to the NodeEnforcer, so it is deleted together with the NodeEnforcer.
	var lease coordinationv1.Lease
	eventually.NoError(t, func() error {
		return c.Get(t.Context(), client.ObjectKey{Namespace: rbac.Namespace, Name: "node-status"}, &lease)
	})
	if len(lease.OwnerReferences) != 1 || lease.OwnerReferences[0].UID != got.UID || lease.Spec.RenewTime == nil {
		t.Errorf("Lease %+v, want it renewed and owned by the NodeEnforcer", lease)
	}

	got.Status.Policies = 77
	got.Status.Published.Number = 1 << 40
	c.must(t, c.Status().Update(t.Context(), got))
	c.must(t, c.Delete(t.Context(), np))
	a.wantVerdict(t, "192.0.2.1", "10.9.0.2", rule.Allow)
	a.wantStatus(t, c, enforcing)
	if n := a.metric(t, "sluice_agent_acknowledged_generation", ""); uint64(n) != a.generation(t) {
		t.Errorf("acknowledged generation %v in the metrics, want %d", n, a.generation(t))
	}

	c.must(t, c.Delete(t.Context(), got))
	c.policyFor(t, "db")
	a.wantStatus(t, c, enforcing)
}

// wantEnforcedCheck waits until the health check /enforced has the wanted result.
func (a *agent) wantEnforcedCheck(t *testing.T, query string, want bool) {
	t.Helper()
	eventually.NoError(t, func() error {
		response, err := http.Get("http://" + a.health + "/enforced?" + query)
		if err != nil {
			return err
		}
		if got := response.StatusCode == http.StatusOK; got != want {
			return errors.Join(fmt.Errorf("/enforced?%s: %s", query, response.Status), response.Body.Close())
		}
		return response.Body.Close()
	})
}

// acknowledge runs a dataplane that acknowledges each published tree.
func (a *agent) acknowledge(t *testing.T, c *cluster) {
	t.Helper()
	dataplane, err := status.Serve(a.stateDir, status.Source{Status: func() (report.Status, error) {
		current, err := a.tree()
		if err != nil {
			return report.Status{}, err
		}
		defer current.Close()
		return report.Status{
			TreeFormats: tree.Formats(),
			Generation:  current.Generation(), Queueing: string(ruleset.QueueExpression),
			Verdicts:    report.Stats{Accepted: 3, Denied: 2, Unreadable: map[string]uint64{"Truncated": 1}},
			Reevaluated: report.Reevaluated{Walks: 1, Accepted: 1, Denied: 4},
		}, nil
	}})
	c.must(t, err)
	t.Cleanup(func() { c.must(t, dataplane.Close()) })
}

// wantStatus waits until the status of the node meets a condition, and returns the
// NodeEnforcer.
func (a *agent) wantStatus(t *testing.T, c *cluster, condition func(*v1alpha1.NodeEnforcerStatus) error) *v1alpha1.NodeEnforcer {
	t.Helper()
	var got v1alpha1.NodeEnforcer
	eventually.NoError(t, func() error {
		if err := c.Get(t.Context(), client.ObjectKey{Name: a.node}, &got); err != nil {
			return err
		}
		return errors.Join(condition(&got.Status), conditionIs(&got.Status, v1alpha1.ConditionSynced, v1alpha1.ReasonWatching))
	})
	return &got
}

// published returns an error unless the status contains the generation of the published tree.
func published(a *agent, s *v1alpha1.NodeEnforcerStatus) (err error) {
	current, err := a.tree()
	if err != nil {
		return err
	}
	defer func(t *tree.Tree) { err = errors.Join(err, t.Close()) }(current)
	if s.Published == nil || s.Published.Number != int64(current.Generation()) {
		return fmt.Errorf("published %+v, want generation %d", s.Published, current.Generation())
	}
	return nil
}

func conditionIs(s *v1alpha1.NodeEnforcerStatus, kind v1alpha1.ConditionType, reason v1alpha1.Reason) error {
	condition := meta.FindStatusCondition(s.Conditions, string(kind))
	if condition == nil || condition.Reason != string(reason) {
		return fmt.Errorf("condition %s is %+v, want reason %s", kind, condition, reason)
	}
	return nil
}
