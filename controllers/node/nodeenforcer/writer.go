package nodeenforcer

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers,verbs=get;create
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers/status,verbs=update

const (
	// checkStatusInterval is the time between two computations of the status.
	checkStatusInterval = time.Second
	// changeInterval is the minimum time between two writes, unless a condition changes.
	// counterInterval is the time between two writes if only counters have changed. A random time
	// of up to a fifth is added to each interval, so that the nodes do not all write at the same
	// time.
	changeInterval  = 10 * time.Second
	counterInterval = 5 * time.Minute
	// retryInterval is the time between a failed write and the next attempt. If the interval
	// between two renewals of the Lease is shorter, the shorter interval applies. A random time of
	// up to a fifth of the interval is added.
	retryInterval = 10 * time.Second
	// registerInterval is the time between two attempts to create the NodeEnforcer before the
	// first publication. A random time of up to half of the interval is added.
	registerInterval = 2 * time.Second
	// writeTimeout limits the duration of one status write.
	writeTimeout = 5 * time.Second
)

// Writer writes the NodeEnforcer of a node and renews the Lease of the node.
type Writer struct {
	// Node is the name of the node. Namespace is the namespace of the operator.
	Node, Namespace string
	// RenewInterval is the minimum time between two renewals of the Lease. 0 means 12 s.
	RenewInterval time.Duration
	// Cache is the client that reads the Node object. Direct is the client that reads the
	// NodeEnforcer from the API server, because a cache of NodeEnforcers would contain the objects
	// of all nodes.
	Cache, Direct client.Reader
	Client        client.Client
	// Status returns the current status.
	Status func() (v1alpha1.NodeEnforcerStatus, error)
	Log    logr.Logger

	// current is the NodeEnforcer that was last read or written. It is nil if this version may be
	// outdated.
	current *v1alpha1.NodeEnforcer
	// read is the time at which the NodeEnforcer was last read from the API server.
	read time.Time
	// retry is the time of the next attempt after an error.
	retry time.Time
	// written is the time of the last write. It is zero before the first write, so the first status
	// is written at once. jitter is a random number from 0 to 1 that changes with each write.
	written time.Time
	jitter  float64
}

// errNoNode reports that the cluster has no Node object for the node.
var errNoNode = errors.New("the cluster has no such Node, so no NodeEnforcer is created")

// Register waits until the NodeEnforcer of the node exists, and creates it if necessary. The
// operator uninstalls Sluice only from nodes with a NodeEnforcer, so the agent must not publish a
// tree before Register returns. Register also returns if the context has ended, or if the Node
// does not exist. Without a Node, no pod of the cluster can run on the node.
func (w *Writer) Register(ctx context.Context) {
	failure := faults{log: w.Log, text: "The NodeEnforcer cannot be created: the agent publishes no tree until it exists"}
	for ctx.Err() == nil {
		err := w.find(ctx)
		if err == nil || errors.Is(err, errNoNode) {
			return
		}
		failure.record(ctx, err)
		select {
		case <-ctx.Done():
		case <-time.After(registerInterval + rand.N(registerInterval/2)):
		}
	}
}

// Run writes the status and renews the Lease until the context ends. It renews the Lease only while
// the API server has the current status. Otherwise, the operator would trust the outdated status of
// an earlier agent, because this agent renews the Lease.
func (w *Writer) Run(ctx context.Context) error {
	tick := time.NewTicker(checkStatusInterval)
	defer tick.Stop()
	status, renewal := faults{log: w.Log, text: "The status cannot be written"}, faults{log: w.Log, text: "The Lease cannot be renewed"}
	interval := cmp.Or(w.RenewInterval, defaultRenewInterval)
	lease := &heartbeat{
		namespace: w.Namespace, direct: w.Direct, client: w.Client, interval: interval, missing: func() { w.current = nil },
	}
	retry := min(retryInterval, interval)
	for {
		err := w.update(ctx)
		if err != nil {
			// After an error, `current` may differ from the object in the API server.
			w.current = nil
			w.retry = time.Now().Add(retry + rand.N(retry/5))
		}
		if err != nil || w.current != nil {
			status.record(ctx, err)
		}
		if w.current != nil {
			renewal.record(ctx, lease.renew(ctx, w.current))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// faults logs the first of several errors in succession.
type faults struct {
	log    logr.Logger
	text   string
	failed bool
}

// record logs an error only if the previous call recorded a success and the context has not ended.
// The `err` parameter is nil after a success.
func (f *faults) record(ctx context.Context, err error) {
	if err != nil && !f.failed && ctx.Err() == nil {
		f.log.Error(err, f.text)
	}
	f.failed = err != nil
}

// update writes the status if a condition has changed, or if another change is due.
func (w *Writer) update(ctx context.Context) error {
	if w.current == nil && time.Now().Before(w.retry) {
		return nil
	}
	if time.Since(w.read) > counterInterval {
		// Another client may have changed or deleted the object.
		w.current = nil
	}
	status, err := w.Status()
	if err != nil {
		return err
	}
	if w.current == nil {
		if err := w.find(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	next := w.current.DeepCopy()
	setStatus(&next.Status, status)
	if time.Since(w.written) < w.pause(&w.current.Status, &next.Status) || equality.Semantic.DeepEqual(w.current.Status, next.Status) && !w.written.IsZero() {
		return nil
	}
	err = w.Client.Status().Update(ctx, next)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		// Another client changed or deleted the object. The next call reads it again.
		w.current, w.retry = nil, time.Time{}
		return nil
	case err != nil:
		return fmt.Errorf("writing NodeEnforcer %s: %w", w.Node, err)
	}
	w.current, w.written, w.jitter = next, time.Now(), rand.Float64()
	return nil
}

// pause returns the minimum time between the last write and a write of a new status.
func (w *Writer) pause(before, after *v1alpha1.NodeEnforcerStatus) time.Duration {
	interval := counterInterval
	switch {
	case !equality.Semantic.DeepEqual(before.Conditions, after.Conditions):
		return 0
	case changed(before, after):
		interval = changeInterval
	}
	return interval + time.Duration(w.jitter*float64(interval/5))
}

// find reads or creates the NodeEnforcer. If the Node does not exist, find creates nothing and
// returns errNoNode, because the garbage collector would not delete a NodeEnforcer without an
// owner.
func (w *Writer) find(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	key := client.ObjectKey{Name: w.Node}
	var owner corev1.Node
	switch err := w.Cache.Get(ctx, key, &owner); {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("node %s: %w", w.Node, errNoNode)
	case err != nil:
		return fmt.Errorf("finding Node %s: %w", w.Node, err)
	}
	var object v1alpha1.NodeEnforcer
	err := w.Direct.Get(ctx, key, &object)
	if apierrors.IsNotFound(err) {
		object = v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{
			Name: w.Node,
			// The NodeEnforcer is the record that this node has rules, and the finalizer
			// protects the record. The operator removes the finalizer after it has verified
			// that nothing is left on the node.
			Finalizers: []string{v1alpha1.FinalizerUninstall},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: corev1.SchemeGroupVersion.String(), Kind: "Node", Name: owner.Name, UID: owner.UID,
			}},
		}}
		err = w.Client.Create(ctx, &object)
	}
	if err != nil {
		return fmt.Errorf("finding NodeEnforcer %s: %w", w.Node, err)
	}
	w.current, w.read = &object, time.Now()
	return nil
}

// setStatus replaces a status. If the status of a condition does not change, the condition
// keeps the time of its last transition. The publication of an earlier agent stays in the
// status until this agent has published a tree.
func setStatus(to *v1alpha1.NodeEnforcerStatus, from v1alpha1.NodeEnforcerStatus) {
	if from.Published == nil {
		from.Published, from.Tree, from.Pods, from.Policies = to.Published, to.Tree, to.Pods, to.Policies
	}
	conditions, acknowledged := to.Conditions, to.Acknowledged
	for _, condition := range from.Conditions {
		meta.SetStatusCondition(&conditions, condition)
	}
	if from.Acknowledged != nil && acknowledged != nil && acknowledged.Number == from.Acknowledged.Number {
		from.Acknowledged.Time = acknowledged.Time
	}
	// The tree of an earlier agent remains enforced until this agent has published a tree, unless
	// the node has rebooted.
	if from.Enforced == nil && from.BootID == to.BootID {
		from.Enforced = to.Enforced
	}
	*to = from
	to.Conditions = conditions
}

// changed reports whether two statuses differ in more than conditions and counters. A new
// generation alone is not such a difference: most generations are compiled because remote pods
// changed, and enforce the same versions of policies as before.
func changed(a, b *v1alpha1.NodeEnforcerStatus) bool {
	return !bytes.Equal(a.Enforced, b.Enforced) || a.BootID != b.BootID || a.Versions != b.Versions || a.Pods != b.Pods || a.Policies != b.Policies ||
		(a.Published == nil) != (b.Published == nil) || (a.Acknowledged == nil) != (b.Acknowledged == nil) ||
		!equality.Semantic.DeepEqual(a.Kernel, b.Kernel) || !equality.Semantic.DeepEqual(a.Endpoint, b.Endpoint)
}

func number(g *v1alpha1.Generation) int64 {
	if g == nil {
		return 0
	}
	return g.Number
}
