package node

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
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
	// statusLook is how often the status is looked at, and so the shortest time
	// between two writes: generations come up to fifty times a second.
	statusLook = time.Second
	// statusInterval is the time between two writes when nothing changed but
	// counters and resource versions, or nothing at all: each write is a sign of
	// life, too. Up to a fifth more comes to it by chance, so that the nodes of a
	// cluster do not write together.
	statusInterval = 10 * time.Second
	// statusTimeout is how long a write may take.
	statusTimeout = 5 * time.Second
)

// statusWriter keeps the node's NodeEnforcer. Nobody else writes it.
type statusWriter struct {
	node string
	// cache has the Node; direct reads and writes the NodeEnforcer, which no
	// cache watches: those of all nodes would come with it.
	cache  client.Reader
	direct client.Reader
	client client.Client
	source func() (v1alpha1.NodeEnforcerStatus, error)
	log    logr.Logger

	// held is the object as it was last read or written, nil if unknown.
	held *v1alpha1.NodeEnforcer
	// due is when a status is written that changed in counters only.
	due time.Time
}

// run writes the status until the context ends.
func (w *statusWriter) run(ctx context.Context) error {
	tick := time.NewTicker(statusLook)
	defer tick.Stop()
	failed := false
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			// Whatever is known of the object may be wrong.
			w.held = nil
			w.postpone()
			if !failed {
				w.log.Error(err, "Status cannot be written")
			}
			failed = true
		} else if err == nil && w.held != nil {
			failed = false
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *statusWriter) postpone() {
	w.due = time.Now().Add(statusInterval + rand.N(statusInterval/5))
}

// look writes the status if it is time to.
func (w *statusWriter) look(ctx context.Context) error {
	if w.held == nil && time.Now().Before(w.due) {
		return nil
	}
	status, err := w.source()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if w.held == nil {
		if err := w.find(ctx); err != nil || w.held == nil {
			return err
		}
	}
	next := w.held.DeepCopy()
	setStatus(&next.Status, status)
	if !changed(&w.held.Status, &next.Status) && time.Now().Before(w.due) {
		return nil
	}
	now := metav1.Now()
	next.Status.Heartbeat = &now
	err = w.client.Status().Update(ctx, next)
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		// Somebody else changed or removed it: the next look finds it anew.
		w.held, w.due = nil, time.Time{}
		return nil
	case err != nil:
		return fmt.Errorf("writing NodeEnforcer %s: %w", w.node, err)
	}
	w.held = next
	w.postpone()
	return nil
}

// find reads the NodeEnforcer, or makes it. A node without a Node object has
// none, for nobody would remove it.
func (w *statusWriter) find(ctx context.Context) error {
	key := client.ObjectKey{Name: w.node}
	var owner corev1.Node
	if err := w.cache.Get(ctx, key, &owner); err != nil {
		return client.IgnoreNotFound(err)
	}
	var object v1alpha1.NodeEnforcer
	err := w.direct.Get(ctx, key, &object)
	if apierrors.IsNotFound(err) {
		object = v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{
			Name: w.node,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: corev1.SchemeGroupVersion.String(), Kind: string(kindNode), Name: owner.Name, UID: owner.UID,
			}},
		}}
		err = w.client.Create(ctx, &object)
	}
	if err != nil {
		return fmt.Errorf("finding NodeEnforcer %s: %w", w.node, err)
	}
	w.held = &object
	return nil
}

// setStatus replaces a status. Times of what stays the same stay, and so does
// what an agent before published until this one has.
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
		if from.Acknowledged.Contains == (v1alpha1.ResourceVersions{}) {
			from.Acknowledged.Contains = acknowledged.Contains
		}
	}
	*to = from
	to.Conditions = conditions
}

// changed reports whether two statuses differ in more than counters and
// resource versions of what changes often. A policy that is enforced is news,
// also where it concerns no pod of the node and so makes no generation.
func changed(a, b *v1alpha1.NodeEnforcerStatus) bool {
	return policies(a.Acknowledged) != policies(b.Acknowledged) || number(a.Published) != number(b.Published) || number(a.Acknowledged) != number(b.Acknowledged) ||
		(a.Kernel == nil) != (b.Kernel == nil) || !equality.Semantic.DeepEqual(a.Conditions, b.Conditions)
}

func number(g *v1alpha1.Generation) int64 {
	if g == nil {
		return 0
	}
	return g.Number
}

func policies(g *v1alpha1.Generation) string {
	if g == nil {
		return ""
	}
	return g.Contains.NetworkPolicies
}

// resourceVersions writes versions as the API has them.
func resourceVersions(contains map[kind]uint64) v1alpha1.ResourceVersions {
	text := func(k kind) string {
		if contains[k] == 0 {
			return ""
		}
		return strconv.FormatUint(contains[k], 10)
	}
	return v1alpha1.ResourceVersions{NetworkPolicies: text(kindPolicy), Pods: text(kindPod), Namespaces: text(kindNamespace)}
}
