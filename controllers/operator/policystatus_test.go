package operator_test

import (
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

// TestPolicyStatus goes with one policy from its creation to its deletion.
func TestPolicyStatus(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(t, "life-a"), w.node(t, "life-b")
	startWriter(t)
	np := w.policy(t, "db", "db")
	got := w.wants(t, "db", enforced(0, 0, 0, noPod, "no pod is selected"))
	if owner := metav1.GetControllerOf(got); owner == nil || owner.UID != np.UID || owner.Kind != "NetworkPolicy" {
		t.Errorf("owners %+v, want the policy: nobody else removes the status", got.OwnerReferences)
	}

	w.pod(t, "db", "life-a", "10.0.0.1")
	w.pod(t, "db", "life-b", "10.0.0.2")
	w.pod(t, "db", "", "")
	w.pod(t, "web", "life-a", "10.0.0.3")
	w.wants(t, "db", enforced(3, 2, 0, not, "nodes life-a, life-b: no agent has reported yet"))
	a.enforces(t)
	w.wants(t, "db", enforced(3, 2, 1, not, "node life-b: no agent has reported yet; 1 of 2 nodes"))
	b.enforces(t)
	first := w.wants(t, "db", enforced(3, 2, 2, everywhere, "2 of 2 nodes"))

	np.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	must(t, w.Update(t.Context(), np))
	w.wants(t, "db", enforced(3, 2, 0, waiting, "waiting for nodes life-a, life-b; 0 of 2 nodes"))
	b.enforces(t)
	w.wants(t, "db", enforced(3, 2, 1, waiting, "waiting for node life-a; 1 of 2 nodes"))
	// The time of a status is in seconds.
	eventually.NoError(t, func() error {
		if !time.Now().After(first.Status.EnforcedSince.Add(time.Second)) {
			return fmt.Errorf("it is still the same second")
		}
		return nil
	})
	a.enforces(t)
	second := w.wants(t, "db", enforced(3, 2, 2, everywhere, "2 of 2 nodes"))
	if second.Status.ObservedGeneration != np.Generation || !second.Status.EnforcedSince.After(first.Status.EnforcedSince.Time) {
		t.Errorf("generation %d since %s, want %d, after %s", second.Status.ObservedGeneration, second.Status.EnforcedSince, np.Generation, first.Status.EnforcedSince)
	}

	must(t, w.Delete(t.Context(), np))
	gone(t, w, "db")
}

// gone waits until a policy has no status.
func gone(t *testing.T, w *world, name string) {
	t.Helper()
	eventually.NoError(t, func() error {
		err := w.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, &v1alpha1.PolicyStatus{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("status of %s: want none, got one and error %w", name, err)
		}
		return nil
	})
}

// TestPolicyStatusNodes: a node that loses its dataplane, its agent or its
// NodeEnforcer is named, and its pods count until they are gone.
func TestPolicyStatusNodes(t *testing.T) {
	w := newWorld(t)
	a, b := w.node(t, "health-a"), w.node(t, "health-b")
	pod := w.pod(t, "db", "health-a", "10.1.0.1")
	other := w.pod(t, "db", "health-b", "10.1.0.2")
	w.policy(t, "db", "db")
	startWriter(t)
	a.enforces(t)
	b.enforces(t)
	w.wants(t, "db", enforced(2, 2, 2, everywhere, ""))

	notReady := func(s *v1alpha1.NodeEnforcerStatus) {
		meta.SetStatusCondition(&s.Conditions, v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNoDataplane, "no dataplane answers"))
	}
	a.write(t, notReady)
	w.wants(t, "db", enforced(2, 2, 1, not, "node health-a: no dataplane answers; 1 of 2"))
	a.enforces(t)
	w.wants(t, "db", enforced(2, 2, 2, everywhere, ""))

	silent := metav1.NewTime(time.Now().Add(-2 * time.Minute))
	a.write(t, func(s *v1alpha1.NodeEnforcerStatus) { s.Heartbeat = &silent })
	w.wants(t, "db", enforced(2, 2, 1, not, "node health-a: its agent has not reported for more than 1m0s"))
	// Soon, not now: the heartbeat ends while the operator looks on.
	soon := metav1.NewTime(time.Now().Add(-55 * time.Second))
	a.write(t, func(s *v1alpha1.NodeEnforcerStatus) { s.Heartbeat = &soon })
	w.wants(t, "db", enforced(2, 2, 2, everywhere, ""))
	w.wants(t, "db", enforced(2, 2, 1, not, "node health-a: its agent has not reported for more than 1m0s"))

	must(t, w.Delete(t.Context(), &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: "health-b"}}))
	w.wants(t, "db", enforced(2, 2, 0, not, "nodes health-a, health-b"))
	must(t, w.Delete(t.Context(), other, client.GracePeriodSeconds(0)))
	a.enforces(t)
	w.wants(t, "db", enforced(1, 1, 1, everywhere, ""))
	must(t, w.Delete(t.Context(), pod, client.GracePeriodSeconds(0)))
	w.wants(t, "db", enforced(0, 0, 0, noPod, ""))
}

// TestPolicyStatusPods: a new pod counts once its node contains it; what does
// not matter to policies does not matter here.
func TestPolicyStatusPods(t *testing.T) {
	w := newWorld(t)
	a := w.node(t, "pods-a")
	pod := w.pod(t, "db", "pods-a", "10.2.0.1")
	np := w.policy(t, "db", "db")
	writer := startWriter(t)
	a.enforces(t)
	first := w.wants(t, "db", enforced(1, 1, 1, everywhere, ""))

	w.pod(t, "db", "pods-a", "10.2.0.2")
	w.wants(t, "db", enforced(2, 1, 0, waiting, "waiting for node pods-a"))
	a.enforces(t)
	w.wants(t, "db", enforced(2, 1, 1, everywhere, ""))

	// No node contains these changes, and none has to.
	before := writer.writes.Load()
	pod.Annotations = map[string]string{"note": "changed"}
	pod.Labels["irrelevant"] = "changed"
	must(t, w.Update(t.Context(), pod))
	np.Annotations = map[string]string{"note": "changed"}
	must(t, w.Update(t.Context(), np))
	must(t, w.Status().Update(t.Context(), a.counted(t)))
	other := w.policy(t, "other", "nobody")
	w.wants(t, other.Name, enforced(0, 0, 0, noPod, ""))
	last := w.wants(t, "db", enforced(2, 1, 1, everywhere, ""))
	// The other policy is made, written, and found to select nothing.
	if n := writer.writes.Load() - before; n > 3 {
		t.Errorf("%d writes, want at most 3", n)
	}
	if first.Status.Rules != 1 || last.ResourceVersion == first.ResourceVersion {
		t.Errorf("rules %d, version %s after %s", first.Status.Rules, last.ResourceVersion, first.ResourceVersion)
	}

	pod.Labels["app"] = "web"
	must(t, w.Update(t.Context(), pod))
	w.wants(t, "db", enforced(1, 1, 1, everywhere, ""))
}

// counted gives the node's object with other counters.
func (n *node) counted(t *testing.T) *v1alpha1.NodeEnforcer {
	t.Helper()
	var object v1alpha1.NodeEnforcer
	must(t, n.Get(t.Context(), client.ObjectKey{Name: n.name}, &object))
	object.Status.Verdicts.Accepted++
	now := metav1.Now()
	object.Status.Heartbeat = &now
	return &object
}

// TestPolicyStatusRepaired: somebody else's write, removal and object of the
// same name do not last.
func TestPolicyStatusRepaired(t *testing.T) {
	w := newWorld(t)
	a := w.node(t, "repair-a")
	w.pod(t, "db", "repair-a", "10.3.0.1")
	np := w.policy(t, "db", "db")
	startWriter(t)
	a.enforces(t)
	right := enforced(1, 1, 1, everywhere, "")
	first := w.wants(t, "db", right)

	for i := range 5 {
		got := w.wants(t, "db", right)
		got.Status.Pods, got.Status.Conditions = int32(70+i), nil
		if err := w.Status().Update(t.Context(), got); err != nil && !apierrors.IsConflict(err) {
			t.Fatal(err)
		}
	}
	got := w.wants(t, "db", right)
	if got.UID != first.UID || !got.Status.EnforcedSince.Equal(first.Status.EnforcedSince) {
		t.Errorf("%s since %s, want %s since %s", got.UID, got.Status.EnforcedSince, first.UID, first.Status.EnforcedSince)
	}
	must(t, w.Delete(t.Context(), got))
	again := w.wants(t, "db", right)
	if again.UID == first.UID {
		t.Error("the object deleted is still there")
	}

	// A policy of the same name is another policy.
	must(t, w.Delete(t.Context(), np))
	np = w.policy(t, "db", "db")
	a.enforces(t)
	w.wants(t, "db", func(p *v1alpha1.PolicyStatus) error {
		if !metav1.IsControlledBy(p, np) {
			return fmt.Errorf("owners %+v, want %s", p.OwnerReferences, np.UID)
		}
		return right(p)
	})
	stray := &v1alpha1.PolicyStatus{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "stray"}}
	must(t, w.Create(t.Context(), stray))
	gone(t, w, "stray")
}

// TestPolicyStatusRestart: an operator that starts anew finds everything as it
// is, and takes up what happened meanwhile.
func TestPolicyStatusRestart(t *testing.T) {
	w := newWorld(t)
	a := w.node(t, "restart-a")
	pod := w.pod(t, "db", "restart-a", "10.4.0.1")
	w.policy(t, "stays", "db")
	changes, goes := w.policy(t, "changes", "db"), w.policy(t, "goes", "db")
	writer := startWriter(t)
	a.enforces(t)
	right := enforced(1, 1, 1, everywhere, "")
	stays := w.wants(t, "stays", right)
	w.wants(t, "changes", right)
	w.wants(t, "goes", right)
	writer.stop()

	// The node does not contain this yet, and nobody saw that it means nothing.
	pod.Annotations = map[string]string{"note": "changed"}
	must(t, w.Update(t.Context(), pod))
	must(t, w.Delete(t.Context(), goes))
	changes.Spec.Ingress = nil
	must(t, w.Update(t.Context(), changes))
	w.policy(t, "comes", "db")
	a.write(t, func(*v1alpha1.NodeEnforcerStatus) {})
	startWriter(t)
	w.wants(t, "changes", enforced(1, 1, 0, waiting, "restart-a"))
	w.wants(t, "comes", enforced(1, 1, 0, waiting, "restart-a"))
	gone(t, w, "goes")
	a.enforces(t)
	w.wants(t, "changes", right)
	w.wants(t, "comes", right)
	if got := w.wants(t, "stays", right); got.ResourceVersion != stays.ResourceVersion {
		t.Errorf("the status of a policy that stayed was written: %+v, before %+v", got.Status, stays.Status)
	}
}

// TestPolicyStatusGone: policies that go while they are looked at leave nothing.
func TestPolicyStatusGone(t *testing.T) {
	w := newWorld(t)
	startWriter(t)
	for i := range 20 {
		np := w.policy(t, fmt.Sprintf("short-%d", i), "db")
		must(t, w.Delete(t.Context(), np))
	}
	w.policy(t, "last", "db")
	w.wants(t, "last", enforced(0, 0, 0, noPod, ""))
	eventually.NoError(t, func() error {
		var all v1alpha1.PolicyStatusList
		if err := w.List(t.Context(), &all, client.InNamespace(w.namespace)); err != nil {
			return err
		}
		if len(all.Items) != 1 {
			return fmt.Errorf("%d statuses, want 1", len(all.Items))
		}
		return nil
	})
}

// TestPolicyStatusFindings: what lint says about a policy is in its status, and
// goes when it is mended.
func TestPolicyStatusFindings(t *testing.T) {
	w := newWorld(t)
	w.pod(t, "web", "findings-a", "10.5.0.1")
	startWriter(t)
	np := w.policy(t, "db", "nobody-has-this")
	has := func(reason v1alpha1.Reason, count int) func(*v1alpha1.PolicyStatus) error {
		return func(p *v1alpha1.PolicyStatus) error {
			c := meta.FindStatusCondition(p.Status.Conditions, string(v1alpha1.ConditionSuspicious))
			if c == nil || c.Reason != string(reason) || (len(p.Status.Findings) > 0) != (count > 0) {
				return fmt.Errorf("want reason %s and findings: %t", reason, count > 0)
			}
			return nil
		}
	}
	got := w.wants(t, "db", has(v1alpha1.ReasonFindings, 1))
	if f := got.Status.Findings[0]; f.Severity == v1alpha1.SeverityError || f.Check == "" || f.Message == "" {
		t.Errorf("finding %+v", f)
	}
	np.Spec.PodSelector.MatchLabels["app"] = "web"
	np.Spec.Ingress[0].From[0].PodSelector.MatchLabels["app"] = "web"
	must(t, w.Update(t.Context(), np))
	w.wants(t, "db", has(v1alpha1.ReasonAsExpected, 0))
}

// TestPolicyStatusWrites: the beats of many nodes cause no write, and a change
// of one policy a number of writes that does not grow with the nodes.
func TestPolicyStatusWrites(t *testing.T) {
	const nodes, policies, beats = 20, 50, 5
	w := newWorld(t)
	var all []*node
	for i := range nodes {
		n := w.node(t, fmt.Sprintf("writes-%d", i))
		w.pod(t, "db", n.name, fmt.Sprintf("10.6.0.%d", i+1))
		all = append(all, n)
	}
	var last *networkingv1.NetworkPolicy
	for i := range policies {
		last = w.policy(t, fmt.Sprintf("policy-%d", i), "db")
	}
	writer := startWriter(t)
	for _, n := range all {
		n.enforces(t)
	}
	right := enforced(nodes, nodes, nodes, everywhere, "")
	for i := range policies {
		w.wants(t, fmt.Sprintf("policy-%d", i), right)
	}
	settled := writer.writes.Load()
	t.Logf("%d writes for %d policies on %d nodes", settled, policies, nodes)

	for range beats {
		for _, n := range all {
			n.enforces(t)
		}
	}
	last.Spec.Ingress = nil
	must(t, w.Update(t.Context(), last))
	w.wants(t, last.Name, enforced(nodes, nodes, 0, waiting, "writes-0, writes-1, writes-10 and 17 more"))
	for _, n := range all {
		n.enforces(t)
	}
	began := time.Now()
	w.wants(t, last.Name, right)
	changed := writer.writes.Load() - settled
	t.Logf("%d writes for %d beats and the change of one policy; enforced seen after %s", changed, beats*nodes, time.Since(began))
	// One when it changes, one when all have it, and one a second between.
	if changed > 8 {
		t.Errorf("%d writes, want at most 8", changed)
	}
}

// TestPolicyStatusColumnsOfOperator: what kubectl prints is filled in.
func TestPolicyStatusColumnsOfOperator(t *testing.T) {
	w := newWorld(t)
	a := w.node(t, "columns-a")
	w.pod(t, "db", "columns-a", "10.7.0.1")
	w.policy(t, "db", "db")
	startWriter(t)
	a.enforces(t)
	w.wants(t, "db", enforced(1, 1, 1, everywhere, ""))
	got := server.Get(t, v1alpha1.GroupVersion.WithResource("policystatuses"), w.namespace, true)
	for _, want := range []string{"ENFORCED", "ENFORCEMENT", "1 of 1 nodes enforce it as it is now"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}
