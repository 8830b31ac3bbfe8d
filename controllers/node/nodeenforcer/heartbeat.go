package nodeenforcer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=sluice-system,resources=leases,verbs=get;create;update

// defaultRenewInterval is the minimum time between two renewals of the Lease, unless the Writer
// specifies another time. A random time of up to a quarter of the interval is added, so that the
// nodes do not all write at the same time.
const defaultRenewInterval = 12 * time.Second

// heartbeat renews the Lease of a node. The operator observes the Lease to determine whether
// the agent responds.
type heartbeat struct {
	namespace string
	direct    client.Reader
	client    client.Client
	// interval is the minimum time between two renewals.
	interval time.Duration
	// lease is the Lease that was last read or written. It is nil if this version may be outdated.
	lease *coordinationv1.Lease
	// due is the time of the next renewal.
	due time.Time
	// missing is a function that is called if the Lease was deleted. The NodeEnforcer owns the
	// Lease, so the NodeEnforcer was probably deleted, too.
	missing func()
}

// renew renews the Lease if the renewal is due. The NodeEnforcer of the node owns the Lease.
func (h *heartbeat) renew(ctx context.Context, owner *v1alpha1.NodeEnforcer) error {
	if time.Now().Before(h.due) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	h.due = time.Now().Add(h.interval + rand.N(h.interval/4))
	cached := h.lease != nil
	err := h.write(ctx, owner)
	if err == nil {
		return nil
	}
	h.lease = nil
	if cached && (apierrors.IsConflict(err) || apierrors.IsNotFound(err)) {
		// Another client changed or deleted the Lease. The next call reads it again.
		h.due = time.Time{}
		if apierrors.IsNotFound(err) {
			h.missing()
		}
		return nil
	}
	return fmt.Errorf("renewing Lease %s/%s: %w", h.namespace, v1alpha1.HeartbeatLease(owner.Name), err)
}

func (h *heartbeat) write(ctx context.Context, owner *v1alpha1.NodeEnforcer) error {
	next, err := h.find(ctx, owner.Name)
	if err != nil {
		return err
	}
	next.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "NodeEnforcer", Name: owner.Name, UID: owner.UID,
	}}
	now := metav1.NowMicro()
	next.Spec = coordinationv1.LeaseSpec{
		HolderIdentity: &owner.Name, LeaseDurationSeconds: ptr.To(int32(v1alpha1.HeartbeatTimeout.Seconds())), RenewTime: &now,
	}
	if next.ResourceVersion == "" {
		err = h.client.Create(ctx, next)
	} else {
		err = h.client.Update(ctx, next)
	}
	h.lease = next
	return err
}

// find returns the Lease of a node, or a new one if there is none.
func (h *heartbeat) find(ctx context.Context, node string) (*coordinationv1.Lease, error) {
	if h.lease != nil {
		return h.lease.DeepCopy(), nil
	}
	key := client.ObjectKey{Namespace: h.namespace, Name: v1alpha1.HeartbeatLease(node)}
	var found coordinationv1.Lease
	err := h.direct.Get(ctx, key, &found)
	if apierrors.IsNotFound(err) {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}, nil
	}
	return &found, err
}
