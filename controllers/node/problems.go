package node

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/policy"
)

// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

var eventVersion = eventsv1.SchemeGroupVersion

const (
	reportingController = "policy.sluice.dev/agent"
	problemReason       = "PolicyProblem"
	problemAction       = "Compiling"
	// The limits of the API server.
	maxNote      = 1024
	maxEventName = 253
)

// problemReporter writes one Event for each version of a policy that has
// problems. The Event's name follows from the version and the problems, so
// that the agents of all nodes, and an agent that starts anew, mean the same
// Event: the first makes it, the others find it made.
//
// It is a controller of its own, for a policy must not come into force late
// because the API server is slow to take the Events of others.
type problemReporter struct {
	client client.Client
	node   string
	log    logr.Logger
	// reported is the last Event of each policy that has problems.
	reported map[types.NamespacedName]string
}

func newProblemReporter(c client.Client, node string, log logr.Logger) *problemReporter {
	return &problemReporter{client: c, node: node, log: log, reported: map[types.NamespacedName]string{}}
}

// addTo lets a manager run the reporter.
func (r *problemReporter) addTo(mgr manager.Manager) error {
	err := builder.ControllerManagedBy(mgr).
		Named("problems").
		For(&networkingv1.NetworkPolicy{}).
		WithOptions(controllerOptions()).
		Complete(r)
	if err != nil {
		return fmt.Errorf("problems controller: %w", err)
	}
	return nil
}

// Reconcile reports the problems of a policy. A report that does not arrive is
// tried again.
func (r *problemReporter) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var np networkingv1.NetworkPolicy
	err := r.client.Get(ctx, request.NamespacedName, &np)
	switch {
	case apierrors.IsNotFound(err):
		delete(r.reported, request.NamespacedName)
		return reconcile.Result{}, nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("reading policy %s: %w", request.NamespacedName, err)
	}
	return reconcile.Result{}, r.report(ctx, &np)
}

func (r *problemReporter) report(ctx context.Context, np *networkingv1.NetworkPolicy) error {
	_, problems := policy.ReadNetworkPolicy(np)
	if len(problems) == 0 {
		delete(r.reported, keyOf(np))
		return nil
	}
	event := r.event(np, problems)
	if r.reported[keyOf(np)] == event.Name {
		return nil
	}
	err := r.client.Create(ctx, event)
	switch {
	case err == nil:
		r.log.Info("Policy has problems", "policy", keyOf(np).String(), "problems", event.Note)
	case apierrors.IsAlreadyExists(err),
		// Nobody reads Events of a namespace that goes.
		apierrors.IsNotFound(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
	default:
		return fmt.Errorf("writing an Event on policy %s: %w", keyOf(np), err)
	}
	r.reported[keyOf(np)] = event.Name
	return nil
}

func (r *problemReporter) event(np *networkingv1.NetworkPolicy, problems []policy.FieldError) *eventsv1.Event {
	lines := make([]string, 0, len(problems))
	for _, p := range problems {
		lines = append(lines, p.Error())
	}
	note := strings.Join(lines, "\n")
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d\n%s", np.UID, np.Generation, note))
	suffix := fmt.Sprintf(".%x", sum[:8])
	prefix := np.Name[:min(len(np.Name), maxEventName-len(suffix))]
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: np.Namespace,
			Name:      strings.TrimRight(prefix, ".-") + suffix,
		},
		EventTime:           metav1.NowMicro(),
		ReportingController: reportingController,
		ReportingInstance:   r.node,
		Action:              problemAction,
		Reason:              problemReason,
		Type:                corev1.EventTypeWarning,
		Note:                shortened(note),
		Regarding: corev1.ObjectReference{
			APIVersion:      networkingv1.SchemeGroupVersion.String(),
			Kind:            string(kindPolicy),
			Namespace:       np.Namespace,
			Name:            np.Name,
			UID:             np.UID,
			ResourceVersion: np.ResourceVersion,
		},
	}
}

// shortened cuts a note to what an Event may hold.
func shortened(note string) string {
	const more = " ..."
	if len(note) <= maxNote {
		return note
	}
	return strings.ToValidUTF8(note[:maxNote-len(more)], "") + more
}
