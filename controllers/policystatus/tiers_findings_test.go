package policystatus_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/policyapi"
)

// wantFindings waits until the ClusterPolicyStatus of a policy lists findings of the given checks,
// with the severity and the field.
func (f *fixture) wantFindings(t *testing.T, name string, want ...string) {
	t.Helper()
	eventually.NoError(t, func() error {
		var got v1alpha1.ClusterPolicyStatus
		if err := f.Get(t.Context(), client.ObjectKey{Name: name}, &got); err != nil {
			return err
		}
		var found []string
		for _, finding := range got.Status.Findings {
			found = append(found, fmt.Sprintf("%s %s %s", finding.Severity, finding.Check, finding.Field))
		}
		c := meta.FindStatusCondition(got.Status.Conditions, string(v1alpha1.ConditionLintFindings))
		if !slices.Equal(found, want) || c == nil || (c.Status == metav1.ConditionTrue) != (len(want) > 0) {
			return fmt.Errorf("findings %q and condition %+v, want %q", found, c, want)
		}
		return nil
	})
}

// TestFindingsOfClusterPolicies checks the findings that depend on other
// ClusterNetworkPolicies, on NetworkPolicies and on pods. A ClusterPolicyStatus must contain
// these findings. When the objects change, the findings must change, too.
func TestFindingsOfClusterPolicies(t *testing.T) {
	f := newFixture(t)
	policyapi.Install(t, f, policyapi.V1beta1)
	startWriter(t)
	f.createPod(t, "web", "findings", "10.9.2.1")
	newFixture(t).createPod(t, "web", "findings", "10.9.2.2") // The policy does not select every pod.
	subject := `subject: {namespaces: {matchLabels: {kubernetes.io/metadata.name: ` + f.namespace + `}}}`
	const rest = `egress: [{action: Deny, to: [{networks: [10.9.2.1/32]}]}, {action: Deny, to: [{networks: [10.9.2.1/32]}]}]`
	p := policyapi.Policy(t, policyapi.V1beta1, f.namespace, `{tier: Baseline, priority: 5, `+subject+`, `+rest+`}`)
	must(t, f.Create(t.Context(), p))
	alone := []string{
		"Warning network-of-pods spec.egress[0].to[0].networks",
		"Warning network-of-pods spec.egress[1].to[0].networks",
		"Note shadowed-rule spec.egress[1]",
	}
	f.wantFindings(t, p.GetName(), alone...)

	// If two policies have the same priority, only the second policy has a finding about the
	// priority.
	other := policyapi.Policy(t, policyapi.V1beta1, "a-"+f.namespace, `{tier: Baseline, priority: 5, `+subject+`, egress: [
		{action: Accept, to: [{networks: [10.9.2.0/31]}]}]}`)
	must(t, f.Create(t.Context(), other))
	f.wantFindings(t, other.GetName(), "Note network-of-pods spec.egress[0].to[0].networks")
	f.wantFindings(t, p.GetName(),
		"Warning same-priority spec.egress[0]", "Warning shadowed-rule spec.egress[0]", alone[0],
		"Warning same-priority spec.egress[1]", "Warning shadowed-rule spec.egress[1]", alone[1])
	must(t, f.Delete(t.Context(), other))
	f.wantFindings(t, p.GetName(), alone...)

	np := f.createPolicy(t, "isolate", "web")
	np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, "Egress")
	must(t, f.Update(t.Context(), np))
	f.wantFindings(t, p.GetName(), alone[0], alone[1], "Note baseline-unreached spec.egress", alone[2])
}

// TestPodsThatComeAndGoWriteNoFindings checks that the findings cause no write when a new pod
// with the same labels as an existing pod is created.
func TestPodsThatComeAndGoWriteNoFindings(t *testing.T) {
	f := newFixture(t)
	policyapi.Install(t, f, policyapi.V1beta1)
	writer := startWriter(t)
	f.createPod(t, "web", "churn", "10.9.3.1")
	// The policy selects no pods, so new pods do not change the number of pods in its status.
	p := policyapi.Policy(t, policyapi.V1beta1, f.namespace, `{tier: Admin, priority: 6, subject: {namespaces: {matchLabels: {no: namespace}}}, egress: [
		{action: Accept, to: [{networks: [10.9.3.0/24]}]}]}`)
	must(t, f.Create(t.Context(), p))
	f.wantFindings(t, p.GetName(), "Warning no-pod-selected spec.subject", "Note network-of-pods spec.egress[0].to[0].networks")
	const quiet = 3 * time.Second
	<-time.After(quiet)
	before := writer.writes.Load()
	for i := range 5 {
		f.createPod(t, "a", "churn", fmt.Sprint("10.9.3.", 10+i))
	}
	<-time.After(quiet)
	if n := writer.writes.Load() - before; n != 0 {
		t.Errorf("pods that the policy does not select caused %d writes", n)
	}
}
