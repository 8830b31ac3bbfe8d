package policystatus_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/policyapi"
)

// specFor returns the spec of an Admin policy that selects the pods of a namespace. The `rules`
// parameter contains the egress rules of the policy.
func specFor(namespace, rules string) string {
	return fmt.Sprintf(`{tier: Admin, priority: 1, subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: %s}}}, egress: [%s]}`, namespace, rules)
}

const denyAll = `{action: Deny, to: [{namespaces: {}}]}`

// createClusterPolicy creates a ClusterNetworkPolicy for the namespace of the fixture. The policy has
// the name of the namespace.
func (f *fixture) createClusterPolicy(t *testing.T, rules string) *unstructured.Unstructured {
	t.Helper()
	p := policyapi.Policy(t, policyapi.V1beta1, f.namespace, specFor(f.namespace, rules))
	must(t, f.Create(t.Context(), p))
	return p
}

// wantCondition waits until the ClusterNetworkPolicy of the fixture and its ClusterPolicyStatus have
// the given state.
func (f *fixture) wantCondition(t *testing.T, p *unstructured.Unstructured, status metav1.ConditionStatus, reason v1alpha1.Reason, words string) {
	t.Helper()
	eventually.NoError(t, func() error {
		if err := f.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			return err
		}
		c := meta.FindStatusCondition(conditionsOf(t, p), string(v1alpha1.ConditionPolicyEnforced))
		if c == nil || c.Status != status || c.Reason != string(reason) || !strings.Contains(c.Message, words) || c.ObservedGeneration != p.GetGeneration() {
			return fmt.Errorf("condition %+v, want %s %s with %q", c, status, reason, words)
		}
		return nil
	})
}

func conditionsOf(t *testing.T, p *unstructured.Unstructured) (out []metav1.Condition) {
	t.Helper()
	list, _, _ := unstructured.NestedSlice(p.Object, "status", "conditions")
	for _, c := range list {
		var condition metav1.Condition
		must(t, runtime.DefaultUnstructuredConverter.FromUnstructured(c.(map[string]any), &condition))
		out = append(out, condition)
	}
	return out
}

// wantClusterStatus waits until the ClusterPolicyStatus of a policy has the given numbers.
func (f *fixture) wantClusterStatus(t *testing.T, name string, pods, needed, enforcing int32) *v1alpha1.ClusterPolicyStatus {
	t.Helper()
	var got v1alpha1.ClusterPolicyStatus
	eventually.NoError(t, func() error {
		got = v1alpha1.ClusterPolicyStatus{}
		if err := f.Get(t.Context(), client.ObjectKey{Name: name}, &got); err != nil {
			return err
		}
		if got.Status.Pods != pods || got.Status.Nodes != (v1alpha1.PolicyNodes{Needed: needed, Enforcing: enforcing}) {
			return fmt.Errorf("status %+v, want %d pods, %d of %d nodes", got.Status, pods, enforcing, needed)
		}
		return nil
	})
	return &got
}

// TestClusterPolicyStatus checks the condition of a ClusterNetworkPolicy and its ClusterPolicyStatus
// while nodes start to enforce the policy. The CRD is installed after the operator has started.
func TestClusterPolicyStatus(t *testing.T) {
	f := newFixture(t)
	startWriter(t)
	a, b := f.createNode(t, "tiers-a"), f.createNode(t, "tiers-b")
	f.createPod(t, "web", "tiers-a", "10.9.0.1")
	f.createPod(t, "db", "tiers-b", "10.9.0.2")
	f.createPod(t, "db", "tiers-b", "")
	policyapi.Install(t, f, policyapi.V1beta1)
	p := f.createClusterPolicy(t, denyAll)
	f.wantCondition(t, p, metav1.ConditionFalse, v1alpha1.ReasonNodesNotEnforcing, "0 of 2 nodes")
	f.wantClusterStatus(t, p.GetName(), 3, 2, 0)

	a.acknowledge(t)
	f.wantCondition(t, p, metav1.ConditionFalse, v1alpha1.ReasonNodesNotEnforcing, "1 of 2 nodes")
	b.acknowledge(t)
	f.wantCondition(t, p, metav1.ConditionTrue, v1alpha1.ReasonEnforcedEverywhere, "2 of 2 nodes")
	status := f.wantClusterStatus(t, p.GetName(), 3, 2, 2)
	if owner := metav1.GetControllerOf(status); owner == nil || owner.UID != p.GetUID() || owner.APIVersion != p.GetAPIVersion() {
		t.Errorf("owner %+v, want the policy", owner)
	}

	policyapi.SetSpec(t, p, specFor(f.namespace, denyAll+", "+denyAll))
	must(t, f.Update(t.Context(), p))
	f.wantCondition(t, p, metav1.ConditionFalse, v1alpha1.ReasonWaitingForNodes, "0 of 2 nodes")
	must(t, f.Delete(t.Context(), p))
	f.wantNoClusterStatus(t, p.GetName())
}

func (f *fixture) wantNoClusterStatus(t *testing.T, name string) {
	t.Helper()
	eventually.NoError(t, func() error {
		err := f.Get(t.Context(), client.ObjectKey{Name: name}, &v1alpha1.ClusterPolicyStatus{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("the ClusterPolicyStatus still exists"), err)
	})
}

// TestLabelsOfNamespacesSelectSubjects checks that the labels of a namespace change the numbers in a
// ClusterPolicyStatus.
func TestLabelsOfNamespacesSelectSubjects(t *testing.T) {
	f := newFixture(t)
	policyapi.Install(t, f, policyapi.V1beta1)
	startWriter(t)
	f.createPod(t, "web", "labels", "10.9.1.1")
	p := policyapi.Policy(t, policyapi.V1beta1, f.namespace, `{tier: Baseline, priority: 1, subject: {namespaces: {matchLabels: {team: `+f.namespace+`}}}, egress: [`+denyAll+`]}`)
	must(t, f.Create(t.Context(), p))
	f.wantCondition(t, p, metav1.ConditionTrue, v1alpha1.ReasonNoPodSelected, "no pod is selected")
	var namespace corev1.Namespace
	must(t, f.Get(t.Context(), client.ObjectKey{Name: f.namespace}, &namespace))
	namespace.Labels["team"] = f.namespace
	must(t, f.Update(t.Context(), &namespace))
	f.wantClusterStatus(t, p.GetName(), 1, 1, 0)
}

// TestConditionNamesWhatIsNotUnderstood checks the condition of a policy with domain names, which are
// not supported.
func TestConditionNamesWhatIsNotUnderstood(t *testing.T) {
	f := newFixture(t)
	policyapi.Install(t, f, policyapi.V1beta1)
	startWriter(t)
	p := f.createClusterPolicy(t, `{action: Accept, to: [{domainNames: [example.com]}]}`)
	f.wantCondition(t, p, metav1.ConditionFalse, v1alpha1.ReasonNotUnderstood, "spec.egress[0].to[0].domainNames: domain names are not supported")
	status := f.wantClusterStatus(t, p.GetName(), 0, 0, 0)
	eventually.NoError(t, func() error {
		must(t, f.Get(t.Context(), client.ObjectKeyFromObject(status), status))
		if found := status.Status.Findings; len(found) != 1 || found[0].Field != "spec.egress[0].to[0].domainNames" {
			return fmt.Errorf("findings %+v", found)
		}
		return nil
	})
}

// TestConditionsOfOthersStay checks that the operator changes no condition of another program, and
// that it repairs its own condition.
func TestConditionsOfOthersStay(t *testing.T) {
	f := newFixture(t)
	policyapi.Install(t, f, policyapi.V1beta1)
	startWriter(t)
	p := f.createClusterPolicy(t, denyAll)
	f.wantCondition(t, p, metav1.ConditionTrue, v1alpha1.ReasonNoPodSelected, "")
	other := metav1.Condition{
		Type: "example.com/Programmed", Status: metav1.ConditionTrue, Reason: "Done", LastTransitionTime: metav1.NewTime(time.Unix(1_700_000_000, 0)),
	}
	// A program that replaces the whole list also removes the operator's condition.
	value, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []any{other}}})
	must(t, err)
	must(t, f.Status().Patch(t.Context(), p, client.RawPatch("application/merge-patch+json", value)))
	f.wantCondition(t, p, metav1.ConditionTrue, v1alpha1.ReasonNoPodSelected, "")
	if got := meta.FindStatusCondition(conditionsOf(t, p), other.Type); got == nil || got.Reason != other.Reason || !got.LastTransitionTime.Equal(&other.LastTransitionTime) {
		t.Errorf("the condition of another program is %+v, want %+v", got, other)
	}
}

// TestNothingIsWrittenWithoutAChange checks that a change of metadata and a restart of the operator
// cause no writes for a ClusterNetworkPolicy.
func TestNothingIsWrittenWithoutAChange(t *testing.T) {
	f := newFixture(t)
	policyapi.Install(t, f, policyapi.V1beta1)
	first := startWriter(t)
	p := f.createClusterPolicy(t, denyAll)
	f.wantCondition(t, p, metav1.ConditionTrue, v1alpha1.ReasonNoPodSelected, "")
	f.wantClusterStatus(t, p.GetName(), 0, 0, 0)
	const quiet = 3 * time.Second
	<-time.After(quiet)
	before := first.writes.Load()
	p.SetAnnotations(map[string]string{"touched": "yes"})
	must(t, f.Update(t.Context(), p))
	<-time.After(quiet)
	if n := first.writes.Load() - before; n != 0 {
		t.Errorf("a change of metadata caused %d writes", n)
	}
	first.stop()
	second := startWriter(t)
	<-time.After(2 * quiet)
	if n := second.writes.Load(); n != 0 {
		t.Errorf("a restart of the operator caused %d writes", n)
	}
}

// TestDefinitionIsRemoved checks that the ClusterPolicyStatuses are deleted together with the CRD, and
// that policies of another version get statuses afterwards.
func TestDefinitionIsRemoved(t *testing.T) {
	f := newFixture(t)
	policyapi.Install(t, f, policyapi.V1beta1)
	startWriter(t)
	p := f.createClusterPolicy(t, denyAll)
	f.wantCondition(t, p, metav1.ConditionTrue, v1alpha1.ReasonNoPodSelected, "")
	f.wantClusterStatus(t, p.GetName(), 0, 0, 0)
	policyapi.Remove(t, f)
	f.wantNoClusterStatus(t, p.GetName())
	policyapi.Install(t, f, policyapi.V1alpha2)
	p = policyapi.Policy(t, policyapi.V1alpha2, f.namespace, specFor(f.namespace, denyAll))
	must(t, f.Create(t.Context(), p))
	f.wantCondition(t, p, metav1.ConditionTrue, v1alpha1.ReasonNoPodSelected, "")
}
