package enforcer_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/podranges"
	"github.com/sluicenet/sluice/test/eventually"
)

// TestPodRangesArePublished checks that the ConfigMap contains the podCIDRs of all Nodes and the
// ranges in the spec, that the operator updates and restores the ConfigMap, and that the
// ConfigMap is deleted with the Enforcer.
func TestPodRangesArePublished(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	first := f.createNode("first")
	first.Spec.PodCIDR, first.Spec.PodCIDRs = "10.244.0.0/24", []string{"10.244.0.0/24", "fd00::/64"}
	must(t, f.Update(t.Context(), first))
	f.createEnforcer(v1alpha1.EnforcerSpec{PodRanges: []string{"172.20.0.0/14"}})
	f.wantPodRanges("10.244.0.0/24\n172.20.0.0/14\nfd00::/64\n")
	second := f.createNode("second")
	second.Spec.PodCIDR, second.Spec.PodCIDRs = "10.244.1.0/24", []string{"10.244.1.0/24"}
	must(t, f.Update(t.Context(), second))
	f.wantPodRanges("10.244.0.0/23\n172.20.0.0/14\nfd00::/64\n")
	must(t, f.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace, Name: podranges.Name}}))
	f.wantPodRanges("10.244.0.0/23\n172.20.0.0/14\nfd00::/64\n")
	must(t, f.Delete(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: enforcerKey.Name}}))
	f.wantGone(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace}}, podranges.Name)
}

// wantPodRanges waits until the ConfigMap contains the given ranges.
func (f *fixture) wantPodRanges(want string) {
	f.t.Helper()
	eventually.NoError(f.t, func() error {
		var ranges corev1.ConfigMap
		if err := f.Get(f.t.Context(), client.ObjectKey{Namespace: rbac.Namespace, Name: podranges.Name}, &ranges); err != nil {
			return err
		}
		if got := ranges.Data[podranges.Key]; got != want {
			return fmt.Errorf("ranges %q, want %q", got, want)
		}
		return nil
	})
}
