// Package leader provides the lock with which operators elect a leader. If the pod of the leader no
// longer exists, another operator takes over the Lease at once, and does not wait until it expires.
package leader

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=sluice-system,resources=leases,verbs=get;create;update
// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=pods,verbs=get

// identityPrefix is the first part of the identity of a leader that runs in a pod. The other parts
// are the name of the pod and a random UUID: pod/NAME/UUID.
const identityPrefix = "pod/"

// requestTimeout is the time limit of a request. It is half the time for which controller-runtime
// tries to renew a Lease. So if a request gets no response, the leader can retry before it loses
// its Lease.
const requestTimeout = 5 * time.Second

// lock is a resourcelock.LeaseLock that returns a record without a holder if the pod of the holder
// has ended.
type lock struct {
	resourcelock.Interface
	pods typedv1.PodInterface
	// pod is the name of the process's own pod.
	pod string
}

// New returns a lock on the Lease with the given name for a process in a pod.
//
// A leader that is killed does not release its Lease. The lock reads the pod of the holder, and
// treats the Lease as released if this pod has ended or no longer exists. The lock also treats the
// Lease as released if a previous container of the process's own pod was the holder.
//
// Usually, the API server removes a pod only after its containers have ended. If a client
// force-deletes the pod, its containers can still run. Then two leaders can be active until the
// first one has failed to renew the Lease for 10 s.
func New(config *rest.Config, namespace, name, pod string) (resourcelock.Interface, error) {
	config = rest.AddUserAgent(rest.CopyConfig(config), "leader-election")
	config.Timeout = requestTimeout
	core, err := typedv1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("preparing a client for pods: %w", err)
	}
	leases, err := coordinationv1.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("preparing a client for Leases: %w", err)
	}
	return &lock{
		Interface: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name},
			Client:     leases,
			LockConfig: resourcelock.ResourceLockConfig{Identity: identityPrefix + pod + "/" + string(uuid.NewUUID())},
		},
		pods: core.Pods(namespace),
		pod:  pod,
	}, nil
}

// Get returns the record of the Lease, parsed and as JSON. If the holder has ended, Get removes it
// from both forms of the record.
func (l *lock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	record, raw, err := l.Interface.Get(ctx)
	if err != nil || record.HolderIdentity == l.Identity() || !l.ended(ctx, record.HolderIdentity) {
		return record, raw, err
	}
	record.HolderIdentity = ""
	raw, err = json.Marshal(record)
	return record, raw, err
}

// ended reports whether the process with the given identity is known to have ended. It returns
// false if the process does not run in a pod, or if the pod cannot be read. In these cases, the
// caller must wait until the Lease expires.
func (l *lock) ended(ctx context.Context, identity string) bool {
	rest, ok := strings.CutPrefix(identity, identityPrefix)
	if !ok {
		return false
	}
	name, _, _ := strings.Cut(rest, "/")
	if name == l.pod {
		return true
	}
	pod, err := l.pods.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return apierrors.IsNotFound(err)
	}
	return pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
}
