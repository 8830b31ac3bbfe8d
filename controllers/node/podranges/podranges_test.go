package podranges

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/controllers/podranges"
	"github.com/sluicenet/sluice/dataplane/statedir"
)

// TestRangesArePublished checks that the ranges of the cluster and of the node are published,
// and that the node's own ranges are published even without the ConfigMap of the operator.
func TestRangesArePublished(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "one"}, Spec: corev1.NodeSpec{PodCIDRs: []string{"10.244.0.0/24", "fd00::/64"}}}
	ranges := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: podranges.Name},
		Data:       map[string]string{podranges.Key: "10.244.1.0/24\n172.20.0.0/14\n"},
	}
	for _, c := range []struct {
		objects []client.Object
		want    string
	}{
		{[]client.Object{node}, "{[10.244.0.0/24 fd00::/64] [10.244.0.0/24 fd00::/64]}"},
		{[]client.Object{node, ranges}, "{[10.244.0.0/23 172.20.0.0/14 fd00::/64] [10.244.0.0/24 fd00::/64]}"},
		{[]client.Object{ranges}, "{[10.244.1.0/24 172.20.0.0/14] []}"},
	} {
		dir := t.TempDir()
		p := &publisher{fake.NewClientBuilder().WithObjects(c.objects...).Build(), "system", "one", dir}
		if _, err := p.Reconcile(t.Context(), reconcile.Request{}); err != nil {
			t.Fatal(err)
		}
		if got, err := statedir.ReadPodRanges(dir); err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%v, %v, want %s", got, err, c.want)
		}
	}
}
