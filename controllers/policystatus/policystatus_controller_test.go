package policystatus_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/eventually"
)

const (
	everywhere = v1alpha1.ReasonEnforcedEverywhere
	waiting    = v1alpha1.ReasonWaitingForNodes
	not        = v1alpha1.ReasonNodesNotEnforcing
	noPod      = v1alpha1.ReasonNoPodSelected
)

// TestPolicyStatus checks the status of one policy from its creation to its deletion.
func TestPolicyStatus(t *testing.T) {
	f := newFixture(t)
	a, b := f.createNode(t, "life-a"), f.createNode(t, "life-b")
	startWriter(t)
	np := f.createPolicy(t, "db", "db")
	got := f.wantStatus(t, "db", enforced(0, 0, 0, noPod, "no pod is selected"))
	if owner := metav1.GetControllerOf(got); owner == nil || owner.UID != np.UID || owner.Kind != "NetworkPolicy" {
		t.Errorf("owners %+v, want the policy, so that both are deleted together", got.OwnerReferences)
	}

	f.createPod(t, "db", "life-a", "10.0.0.1")
	f.createPod(t, "db", "life-b", "10.0.0.2")
	f.createPod(t, "db", "", "")
	f.createPod(t, "web", "life-a", "10.0.0.3")
	f.wantStatus(t, "db", enforced(3, 2, 0, not, "nodes life-a, life-b: no agent has reported yet"))
	a.acknowledge(t)
	f.wantStatus(t, "db", enforced(3, 2, 1, not, "node life-b: no agent has reported yet; 1 of 2 nodes"))
	b.acknowledge(t)
	first := f.wantStatus(t, "db", enforced(3, 2, 2, everywhere, "2 of 2 nodes"))

	np.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	must(t, f.Update(t.Context(), np))
	f.wantStatus(t, "db", enforced(3, 2, 0, waiting, "waiting for nodes life-a, life-b; 0 of 2 nodes"))
	b.acknowledge(t)
	f.wantStatus(t, "db", enforced(3, 2, 1, waiting, "waiting for node life-a; 1 of 2 nodes"))
	// Wait for the next second, because times in a status are in whole seconds.
	eventually.NoError(t, func() error {
		if !time.Now().After(first.Status.EnforcedSince.Add(time.Second)) {
			return errors.New("still in the same second")
		}
		return nil
	})
	a.acknowledge(t)
	second := f.wantStatus(t, "db", enforced(3, 2, 2, everywhere, "2 of 2 nodes"))
	if second.Status.ObservedGeneration != np.Generation || !second.Status.EnforcedSince.After(first.Status.EnforcedSince.Time) {
		t.Errorf("generation %d since %s, want %d, after %s", second.Status.ObservedGeneration, second.Status.EnforcedSince, np.Generation, first.Status.EnforcedSince)
	}

	must(t, f.Delete(t.Context(), np))
	wantGone(t, f, "db")
}

// wantGone waits until the PolicyStatus of a policy does not exist.
func wantGone(t *testing.T, f *fixture, name string) {
	t.Helper()
	eventually.NoError(t, func() error {
		err := f.Get(t.Context(), client.ObjectKey{Namespace: f.namespace, Name: name}, &v1alpha1.PolicyStatus{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("PolicyStatus %s still exists, or could not be read: %w", name, err)
		}
		return nil
	})
}

// TestNodesThatDoNotEnforceAreNamed checks that the status names a node that loses its
// dataplane, its agent or its NodeEnforcer. The pods on such a node must be counted until
// they are deleted.
func TestNodesThatDoNotEnforceAreNamed(t *testing.T) {
	f := newFixture(t)
	a, b := f.createNode(t, "health-a"), f.createNode(t, "health-b")
	pod := f.createPod(t, "db", "health-a", "10.1.0.1")
	other := f.createPod(t, "db", "health-b", "10.1.0.2")
	f.createPolicy(t, "db", "db")
	startWriter(t)
	a.acknowledge(t)
	b.acknowledge(t)
	f.wantStatus(t, "db", enforced(2, 2, 2, everywhere, ""))

	notReady := func(s *v1alpha1.NodeEnforcerStatus) {
		meta.SetStatusCondition(&s.Conditions, v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNoDataplane, "the dataplane does not respond"))
	}
	a.write(t, notReady)
	f.wantStatus(t, "db", enforced(2, 2, 1, not, "node health-a: the dataplane does not respond; 1 of 2"))
	a.acknowledge(t)
	f.wantStatus(t, "db", enforced(2, 2, 2, everywhere, ""))

	responding := func(status metav1.ConditionStatus, reason v1alpha1.Reason) {
		a.write(t, func(s *v1alpha1.NodeEnforcerStatus) {
			meta.SetStatusCondition(&s.Conditions, v1alpha1.NewCondition(v1alpha1.ConditionResponding, status, reason, ""))
		})
	}
	responding(metav1.ConditionFalse, v1alpha1.ReasonAgentSilent)
	f.wantStatus(t, "db", enforced(2, 2, 1, not, "node health-a: its agent has not reported for more than 1m0s"))
	responding(metav1.ConditionTrue, v1alpha1.ReasonAgentResponding)
	f.wantStatus(t, "db", enforced(2, 2, 2, everywhere, ""))

	must(t, f.Delete(t.Context(), &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: "health-b"}}))
	f.wantStatus(t, "db", enforced(2, 2, 1, not, "node health-b"))
	must(t, f.Delete(t.Context(), other, client.GracePeriodSeconds(0)))
	a.acknowledge(t)
	f.wantStatus(t, "db", enforced(1, 1, 1, everywhere, ""))
	must(t, f.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	f.wantStatus(t, "db", enforced(0, 0, 0, noPod, ""))
}

// TestRelevantChangesOfPods creates a pod and later changes its labels. After each of these
// changes, the status must name the pod's node until the node enforces the policy again.
// Changes that are irrelevant for policies must have no effect.
func TestRelevantChangesOfPods(t *testing.T) {
	f := newFixture(t)
	a := f.createNode(t, "pods-a")
	pod := f.createPod(t, "db", "pods-a", "10.2.0.1")
	np := f.createPolicy(t, "db", "db")
	writer := startWriter(t)
	a.acknowledge(t)
	first := f.wantStatus(t, "db", enforced(1, 1, 1, everywhere, ""))

	f.createPod(t, "db", "pods-a", "10.2.0.2")
	f.wantStatus(t, "db", enforced(2, 1, 0, waiting, "waiting for node pods-a"))
	a.acknowledge(t)
	f.wantStatus(t, "db", enforced(2, 1, 1, everywhere, ""))

	// The following changes are irrelevant for policies, so the report of the node stays
	// correct.
	before := writer.writes.Load()
	pod.Annotations = map[string]string{"note": "changed"}
	pod.Labels["irrelevant"] = "changed"
	must(t, f.Update(t.Context(), pod))
	np.Annotations = map[string]string{"note": "changed"}
	must(t, f.Update(t.Context(), np))
	must(t, f.Status().Update(t.Context(), a.withNewCounters(t)))
	other := f.createPolicy(t, "other", "no-such-app")
	f.wantStatus(t, other.Name, enforced(0, 0, 0, noPod, ""))
	last := f.wantStatus(t, "db", enforced(2, 1, 1, everywhere, ""))
	// The other policy causes one request that creates its PolicyStatus, and up to two
	// updates.
	if n := writer.writes.Load() - before; n > 3 {
		t.Errorf("%d writes, want at most 3", n)
	}
	if first.Status.Rules != 1 || last.ResourceVersion == first.ResourceVersion {
		t.Errorf("rules %d, version %s after %s", first.Status.Rules, last.ResourceVersion, first.ResourceVersion)
	}

	pod.Labels["app"] = "web"
	must(t, f.Update(t.Context(), pod))
	f.wantStatus(t, "db", enforced(1, 1, 0, waiting, "waiting for node pods-a"))
	a.acknowledge(t)
	f.wantStatus(t, "db", enforced(1, 1, 1, everywhere, ""))
}

// withNewCounters returns the NodeEnforcer of the node with changed counters.
func (n *node) withNewCounters(t *testing.T) *v1alpha1.NodeEnforcer {
	t.Helper()
	var object v1alpha1.NodeEnforcer
	must(t, n.Get(t.Context(), client.ObjectKey{Name: n.name}, &object))
	object.Status.Verdicts.Allowed++
	return &object
}

// TestForeignChangesAreRepaired checks that the operator repairs a PolicyStatus after
// another client changed, deleted or created it.
func TestForeignChangesAreRepaired(t *testing.T) {
	f := newFixture(t)
	a := f.createNode(t, "repair-a")
	f.createPod(t, "db", "repair-a", "10.3.0.1")
	np := f.createPolicy(t, "db", "db")
	startWriter(t)
	a.acknowledge(t)
	right := enforced(1, 1, 1, everywhere, "")
	first := f.wantStatus(t, "db", right)

	for i := range 5 {
		got := f.wantStatus(t, "db", right)
		got.Status.Pods, got.Status.Conditions = int32(70+i), nil
		if err := f.Status().Update(t.Context(), got); err != nil && !apierrors.IsConflict(err) {
			t.Fatal(err)
		}
	}
	got := f.wantStatus(t, "db", right)
	if got.UID != first.UID || !got.Status.EnforcedSince.Equal(first.Status.EnforcedSince) {
		t.Errorf("%s since %s, want %s since %s", got.UID, got.Status.EnforcedSince, first.UID, first.Status.EnforcedSince)
	}
	must(t, f.Delete(t.Context(), got))
	again := f.wantStatus(t, "db", right)
	if again.UID == first.UID {
		t.Error("the deleted object still exists")
	}

	// A new policy with the same name as a deleted policy gets a new PolicyStatus.
	must(t, f.Delete(t.Context(), np))
	np = f.createPolicy(t, "db", "db")
	a.acknowledge(t)
	f.wantStatus(t, "db", func(p *v1alpha1.PolicyStatus) error {
		if !metav1.IsControlledBy(p, np) {
			return fmt.Errorf("owners %+v, want %s", p.OwnerReferences, np.UID)
		}
		return right(p)
	})
	stray := &v1alpha1.PolicyStatus{ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "stray"}}
	must(t, f.Create(t.Context(), stray))
	wantGone(t, f, "stray")
}

// TestRestart checks that a restarted operator keeps correct statuses, and updates the
// statuses of policies that changed in the meantime.
func TestRestart(t *testing.T) {
	f := newFixture(t)
	a := f.createNode(t, "restart-a")
	pod := f.createPod(t, "db", "restart-a", "10.4.0.1")
	f.createPolicy(t, "stays", "db")
	changes, goes := f.createPolicy(t, "changes", "db"), f.createPolicy(t, "goes", "db")
	writer := startWriter(t)
	a.acknowledge(t)
	right := enforced(1, 1, 1, everywhere, "")
	stays := f.wantStatus(t, "stays", right)
	f.wantStatus(t, "changes", right)
	f.wantStatus(t, "goes", right)
	writer.stop()

	// No operator runs at the time of this change. The next operator must find that the
	// change is irrelevant for policies.
	pod.Annotations = map[string]string{"note": "changed"}
	must(t, f.Update(t.Context(), pod))
	must(t, f.Delete(t.Context(), goes))
	changes.Spec.Ingress = nil
	must(t, f.Update(t.Context(), changes))
	f.createPolicy(t, "comes", "db")
	a.write(t, func(*v1alpha1.NodeEnforcerStatus) {})
	startWriter(t)
	f.wantStatus(t, "changes", enforced(1, 1, 0, waiting, "restart-a"))
	f.wantStatus(t, "comes", enforced(1, 1, 0, waiting, "restart-a"))
	wantGone(t, f, "goes")
	a.acknowledge(t)
	f.wantStatus(t, "changes", right)
	f.wantStatus(t, "comes", right)
	if got := f.wantStatus(t, "stays", right); got.ResourceVersion != stays.ResourceVersion {
		t.Errorf("the status of an unchanged policy was written: %+v, before %+v", got.Status, stays.Status)
	}
}

// TestShortLivedPolicies checks that policies that are deleted right after their creation
// leave no PolicyStatus.
func TestShortLivedPolicies(t *testing.T) {
	f := newFixture(t)
	startWriter(t)
	for i := range 20 {
		np := f.createPolicy(t, fmt.Sprintf("short-%d", i), "db")
		must(t, f.Delete(t.Context(), np))
	}
	f.createPolicy(t, "last", "db")
	f.wantStatus(t, "last", enforced(0, 0, 0, noPod, ""))
	eventually.NoError(t, func() error {
		var all v1alpha1.PolicyStatusList
		if err := f.List(t.Context(), &all, client.InNamespace(f.namespace)); err != nil {
			return err
		}
		if len(all.Items) != 1 {
			return fmt.Errorf("%d statuses, want 1", len(all.Items))
		}
		return nil
	})
}

// TestFindings checks that the status contains the findings of lint until the policy is
// fixed.
func TestFindings(t *testing.T) {
	f := newFixture(t)
	f.createPod(t, "web", "findings-a", "10.5.0.1")
	startWriter(t)
	np := f.createPolicy(t, "db", "no-such-app")
	has := func(reason v1alpha1.Reason, count int) func(*v1alpha1.PolicyStatus) error {
		return func(p *v1alpha1.PolicyStatus) error {
			c := meta.FindStatusCondition(p.Status.Conditions, string(v1alpha1.ConditionLintFindings))
			if c == nil || c.Reason != string(reason) || (len(p.Status.Findings) > 0) != (count > 0) {
				return fmt.Errorf("want reason %s and findings: %t", reason, count > 0)
			}
			return nil
		}
	}
	got := f.wantStatus(t, "db", has(v1alpha1.ReasonFindings, 1))
	if f := got.Status.Findings[0]; f.Severity == v1alpha1.SeverityError || f.Check == "" || f.Message == "" {
		t.Errorf("finding %+v", f)
	}
	np.Spec.PodSelector.MatchLabels["app"] = "web"
	np.Spec.Ingress[0].From[0].PodSelector.MatchLabels["app"] = "web"
	must(t, f.Update(t.Context(), np))
	f.wantStatus(t, "db", has(v1alpha1.ReasonAsExpected, 0))
}

// TestWritesDoNotGrowWithNodes checks that heartbeats of many nodes cause no write. It also
// checks that the number of writes after a change of one policy does not depend on the
// number of nodes.
func TestWritesDoNotGrowWithNodes(t *testing.T) {
	const nodes, policies, heartbeats = 20, 50, 5
	f := newFixture(t)
	var all []*node
	for i := range nodes {
		n := f.createNode(t, fmt.Sprintf("writes-%d", i))
		f.createPod(t, "db", n.name, fmt.Sprintf("10.6.0.%d", i+1))
		all = append(all, n)
	}
	var last *networkingv1.NetworkPolicy
	for i := range policies {
		last = f.createPolicy(t, fmt.Sprintf("policy-%d", i), "db")
	}
	writer := startWriter(t)
	for _, n := range all {
		n.acknowledge(t)
	}
	right := enforced(nodes, nodes, nodes, everywhere, "")
	for i := range policies {
		f.wantStatus(t, fmt.Sprintf("policy-%d", i), right)
	}
	settled := writer.writes.Load()
	t.Logf("%d writes for %d policies on %d nodes", settled, policies, nodes)

	for range heartbeats {
		for _, n := range all {
			n.acknowledge(t)
		}
	}
	last.Spec.Ingress = nil
	must(t, f.Update(t.Context(), last))
	f.wantStatus(t, last.Name, enforced(nodes, nodes, 0, waiting, "writes-0, writes-1, writes-10 and 17 more"))
	for _, n := range all {
		n.acknowledge(t)
	}
	began := time.Now()
	f.wantStatus(t, last.Name, right)
	changed := writer.writes.Load() - settled
	t.Logf("%d writes for %d heartbeats and the change of one policy; enforced seen after %s", changed, heartbeats*nodes, time.Since(began))
	// One write is expected when the policy changes, one when all nodes enforce it, and one
	// per second in between.
	if changed > 8 {
		t.Errorf("%d writes, want at most 8", changed)
	}
}

// TestColumns checks the columns that kubectl prints for an object that the operator wrote.
func TestColumns(t *testing.T) {
	f := newFixture(t)
	a := f.createNode(t, "columns-a")
	f.createPod(t, "db", "columns-a", "10.7.0.1")
	f.createPolicy(t, "db", "db")
	startWriter(t)
	a.acknowledge(t)
	f.wantStatus(t, "db", enforced(1, 1, 1, everywhere, ""))
	got := server.Get(t, v1alpha1.GroupVersion.WithResource("policystatuses"), f.namespace, true)
	for _, want := range []string{"ENFORCED", "ENFORCEMENT", "1 of 1 nodes enforce the current version"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}
