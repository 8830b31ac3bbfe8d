package policystatus_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/eventually"
)

// TestPodAndPolicyOfOneName changes a pod and a policy that have the same name. The changes are
// irrelevant for policies, so the policy must still count as enforced.
func TestPodAndPolicyOfOneName(t *testing.T) {
	f := newFixture(t)
	a := f.createNode(t, "name-a")
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: "db", Labels: map[string]string{"app": "db"}},
		Spec:       corev1.PodSpec{NodeName: "name-a", Containers: []corev1.Container{{Name: "main", Image: "main"}}},
	}
	must(t, f.Create(t.Context(), pod))
	pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, "10.9.0.1", []corev1.PodIP{{IP: "10.9.0.1"}}
	must(t, f.Status().Update(t.Context(), pod))
	np := f.createPolicy(t, "db", "db")
	startWriter(t)
	a.acknowledge(t)
	right := enforced(1, 1, 1, everywhere, "")
	first := f.wantStatus(t, "db", right)

	np.Annotations = map[string]string{"note": "changed"}
	must(t, f.Update(t.Context(), np))
	pod.Annotations = map[string]string{"note": "changed"}
	must(t, f.Update(t.Context(), pod))
	// The status of another policy shows that the operator has received the changes.
	f.createPolicy(t, "later", "none")
	f.wantStatus(t, "later", enforced(0, 0, 0, noPod, ""))
	must(t, f.Delete(t.Context(), first))
	f.wantStatus(t, "db", func(p *v1alpha1.PolicyStatus) error {
		if p.UID == first.UID || len(p.Status.Conditions) == 0 {
			return fmt.Errorf("the PolicyStatus has not been written again")
		}
		if err := right(p); err != nil {
			t.Errorf("first status after the changes: %v: %+v", err, p.Status)
		}
		return nil
	})
}

// blockPolicy creates a policy with an ipBlock that contains the addresses of all pods.
func (f *fixture) blockPolicy(t *testing.T, name, app string) {
	t.Helper()
	must(t, f.Create(t.Context(), &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: f.namespace, Name: name},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8"}}}}},
		},
	}))
}

// TestStartOfPodWritesOnlyItsPolicies checks that the start of a pod causes no write to the
// statuses of policies that do not select the pod, even if a rule of such a policy contains
// the address of the pod.
func TestStartOfPodWritesOnlyItsPolicies(t *testing.T) {
	const policies = 20
	f := newFixture(t)
	a := f.createNode(t, "start-a")
	f.createPod(t, "db", "start-a", "10.10.0.1")
	for i := range policies {
		f.blockPolicy(t, fmt.Sprintf("block-%d", i), "db")
	}
	f.createPolicy(t, "web", "web")
	writer := startWriter(t)
	a.acknowledge(t)
	for i := range policies {
		f.wantStatus(t, fmt.Sprintf("block-%d", i), enforced(1, 1, 1, everywhere, ""))
	}
	f.createPod(t, "web", "start-a", "10.10.0.2")
	a.acknowledge(t)
	f.wantStatus(t, "web", enforced(1, 1, 1, everywhere, ""))
	<-time.After(quiet)
	before := writer.writes.Load()

	f.createPod(t, "web", "start-a", "10.10.0.3")
	f.wantStatus(t, "web", enforced(2, 1, 0, waiting, ""))
	a.acknowledge(t)
	f.wantStatus(t, "web", enforced(2, 1, 1, everywhere, ""))
	<-time.After(quiet)
	if n := writer.writes.Load() - before; n > 3 {
		t.Errorf("%d writes, want at most 3: only the status of the policy web changes", n)
	}
}

// quiet is the time after which the operator has handled all changes, including the findings of
// lint.
const quiet = 5 * time.Second

// TestRestartWritesNothing checks that a restarted operator writes nothing if nothing changed while
// it was down. If something changed, all statuses must be correct within a limited time. The limit
// is far above the goal of 5 seconds, because other tests use the processors at the same time.
func TestRestartWritesNothing(t *testing.T) {
	const nodes, policies, limit = 20, 200, 20 * time.Second
	f := newFixture(t)
	var all []*node
	var pods []*corev1.Pod
	for i := range nodes {
		n := f.createNode(t, fmt.Sprintf("nothing-%d", i))
		pods = append(pods, f.createPod(t, "db", n.name, fmt.Sprintf("10.11.0.%d", i+1)))
		all = append(all, n)
	}
	for i := range policies {
		f.blockPolicy(t, fmt.Sprintf("policy-%d", i), "db")
	}
	acknowledge := func() {
		for _, n := range all {
			n.acknowledge(t)
		}
	}
	wantAll := func(pods int32) {
		right := enforced(pods, pods, pods, everywhere, "")
		eventually.NoError(t, func() error {
			var list v1alpha1.PolicyStatusList
			if err := f.List(t.Context(), &list, client.InNamespace(f.namespace)); err != nil {
				return err
			}
			for i := range list.Items {
				if err := right(&list.Items[i]); err != nil {
					return err
				}
			}
			if len(list.Items) != policies {
				return fmt.Errorf("%d statuses, want %d", len(list.Items), policies)
			}
			return nil
		})
	}
	writer := startWriter(t)
	acknowledge()
	wantAll(nodes)
	<-time.After(quiet)
	writer.stop()

	// Annotations have no effect on policies, so this change must not change a status.
	pods[0].Annotations = map[string]string{"note": "changed"}
	must(t, f.Update(t.Context(), pods[0]))
	writer = startWriter(t)
	<-time.After(quiet)
	writer.stop()
	if n := writer.writes.Load(); n != 0 {
		t.Errorf("%d writes after a restart, want 0", n)
	}

	must(t, f.Delete(t.Context(), pods[0], client.GracePeriodSeconds(0)))
	acknowledge()
	writer = startWriter(t)
	began := time.Now()
	wantAll(nodes - 1)
	took := time.Since(began)
	t.Logf("%d statuses were right %s after the start of the operator, with %d writes", policies, took, writer.writes.Load())
	if took > limit {
		t.Errorf("the statuses were right after %s, want at most %s", took, limit)
	}
}

// TestBuiltInKindsAreReadAsProtobuf checks that objects of built-in kinds are requested as
// protobuf. Compared to JSON, protobuf takes a fraction of the size and of the processor time.
// The API server serves custom resources only as JSON.
func TestBuiltInKindsAreReadAsProtobuf(t *testing.T) {
	f := newFixture(t)
	writer := startWriter(t)
	f.createPolicy(t, "db", "db")
	f.wantStatus(t, "db", enforced(0, 0, 0, noPod, ""))
	for resource, want := range map[string]string{
		"pods": runtime.ContentTypeProtobuf, "namespaces": runtime.ContentTypeProtobuf, "networkpolicies": runtime.ContentTypeProtobuf,
		"nodeenforcers": runtime.ContentTypeJSON, "policystatuses": runtime.ContentTypeJSON,
	} {
		if got, _ := writer.accepted.Load(resource); got == nil || !strings.HasPrefix(got.(string), want) {
			t.Errorf("%s: accepted content types %v, want %s first", resource, got, want)
		}
	}
}
