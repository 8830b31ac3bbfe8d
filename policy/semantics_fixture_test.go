package policy_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/stage"
)

// fixture is a cluster for the tests of rows in docs/semantics.md. Its objects are written in
// the text format of package test/stage.
type fixture struct {
	t testing.TB
	*clusterUnderTest
}

func newFixture(t testing.TB, objects string, policies ...*networkingv1.NetworkPolicy) *fixture {
	t.Helper()
	o := stage.Objects(t, objects)
	o.Policies = append(o.Policies, policies...)
	nodes := []string{""}
	for _, n := range o.Nodes {
		nodes = append(nodes, n.Name)
	}
	w := newClusterUnderTest(t, newStateDirs(t), nodes, o)
	t.Cleanup(w.close)
	return &fixture{t: t, clusterUnderTest: w}
}

// pod returns a copy of a pod. The test can change the copy and pass the copy to the `set`
// method.
func (s *fixture) pod(name string) *corev1.Pod {
	s.t.Helper()
	for _, p := range s.objects.Pods {
		if p.Namespace+"/"+p.Name == name {
			return p.DeepCopy()
		}
	}
	s.t.Fatalf("there is no pod %s", name)
	return nil
}

// edit changes a pod of the cluster. The function `change` modifies a copy of the pod, and edit
// replaces the pod with this copy.
func (s *fixture) edit(name string, change func(*corev1.Pod)) {
	s.t.Helper()
	p := s.pod(name)
	change(p)
	s.set(p)
}

func (s *fixture) set(objects ...metav1.Object) {
	s.t.Helper()
	for _, o := range objects {
		s.apply(cluster.Change{Object: o})
	}
}

func (s *fixture) remove(o metav1.Object) {
	s.t.Helper()
	s.apply(cluster.Change{Object: o, Deleted: true})
}

// want publishes the trees, evaluates flows, and compares the decisions with the expected
// decisions. Each line contains the flow and the expected egress and ingress sides:
//
//	shop/web -> shop/db TCP 5432 | NotIsolated | Rule shop/db[0]
//
// The source and the destination are each a pod, node:NAME or an address. If both are names,
// the flow is evaluated over IPv4 and over IPv6.
func (s *fixture) want(lines string) {
	s.t.Helper()
	s.publish()
	for _, e := range stage.Expectations(s.t, lines) {
		for _, f := range stage.Flows(s.t, &s.objects, &e) {
			egress, ingress := s.evaluate(f)
			if got := egress.String(); got != e.Egress {
				s.t.Errorf("%s\n%s: egress: got %s, want %s", e.Line, f, got, e.Egress)
			}
			if got := ingress.String(); got != e.Ingress {
				s.t.Errorf("%s\n%s: ingress: got %s, want %s", e.Line, f, got, e.Ingress)
			}
			s.checkReference(f, egress, ingress)
		}
	}
}

// row is a test of a row in docs/semantics.md. The objects do not change during the test.
type row struct {
	objects  string
	policies map[string]string
	want     string
}

// play tests the row twice. In the first test, the policies exist from the start. In the
// second test, the policies are added after the trees without the policies have been
// published.
func (r row) play(t *testing.T) {
	t.Helper()
	var policies []*networkingv1.NetworkPolicy
	for name, spec := range r.policies {
		policies = append(policies, stage.Policy(t, name, spec))
	}
	newFixture(t, r.objects, policies...).want(r.want)
	late := newFixture(t, r.objects)
	late.publish()
	for _, p := range policies {
		late.set(p)
	}
	late.want(r.want)
}
