package operator_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/controllers/operator"
	"github.com/sluicenet/sluice/test/eventually"
)

// TestOperatorAfterAKill checks that an operator becomes the leader before the Lease of its
// predecessor expires, if the pod of the predecessor no longer exists. Otherwise, an operator that
// is killed within 15 s of its start would never become the leader.
func TestOperatorAfterAKill(t *testing.T) {
	c, namespace := server.Client(t), server.Namespace(t)
	now := metav1.NowMicro()
	l := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "sluice-operator"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: ptr.To("pod/killed/1"), LeaseDurationSeconds: ptr.To[int32](15), AcquireTime: &now, RenewTime: &now},
	}
	must(t, c.Create(t.Context(), l))
	startOperator(t, server.Config(), operator.Options{Namespace: namespace, MetricsAddress: "0", LeaderElection: true, Pod: "next"})
	eventually.NoError(t, func() error {
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(l), l); err != nil {
			return err
		}
		if holder := *l.Spec.HolderIdentity; !strings.HasPrefix(holder, "pod/next/") {
			return fmt.Errorf("the holder is %s", holder)
		}
		return nil
	})
	if after := l.Spec.AcquireTime.Sub(now.Time); after > 15*time.Second {
		t.Errorf("leader after %s, want it before the Lease of the predecessor expired", after)
	}
}
