// Package problems reports problems of NetworkPolicies in Events.
package problems

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
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/controllers/message"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
)

// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

const (
	reportingController = "policy.sluice.dev/agent"
	problemReason       = "PolicyProblem"
	problemAction       = "Compiling"
	// maxEventName is the maximum length of an object name.
	maxEventName = 253
)

// reporter writes one Event for each generation of a policy with problems. The name of the
// Event is a hash of the generation and the problems, so all agents use the same name, even
// after a restart. The first agent creates the Event, and the API server reports to the others
// that the Event already exists.
//
// The reporter is a separate controller, so that a slow request for an Event does not delay the
// enforcement of policies.
type reporter struct {
	client client.Client
	node   string
	log    logr.Logger
	// reported contains, for each policy with problems, the name of its last Event.
	reported map[types.NamespacedName]string
}

// Add adds a controller to the manager of a node's agent. The controller reports problems of
// policies.
func Add(mgr manager.Manager, node string, log logr.Logger, options controller.Options) error {
	r := &reporter{client: mgr.GetClient(), node: node, log: log, reported: map[types.NamespacedName]string{}}
	err := builder.ControllerManagedBy(mgr).
		Named("problems").
		For(&networkingv1.NetworkPolicy{}).
		WithOptions(options).
		Complete(r)
	if err != nil {
		return fmt.Errorf("problems controller: %w", err)
	}
	return nil
}

// Reconcile reports the problems of a policy. After an error, the controller calls it again.
func (r *reporter) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var np networkingv1.NetworkPolicy
	err := r.client.Get(ctx, request.NamespacedName, &np)
	switch {
	case apierrors.IsNotFound(err):
		delete(r.reported, request.NamespacedName)
		return reconcile.Result{}, nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("reading policy %s: %w", request.NamespacedName, err)
	}
	_, problems := read.NetworkPolicy(&np)
	return reconcile.Result{}, r.report(ctx, &np.ObjectMeta, problems)
}

// report writes an Event about the problems of a policy, unless this reporter has already written
// the Event.
func (r *reporter) report(ctx context.Context, np *metav1.ObjectMeta, problems []policy.FieldError) error {
	key := types.NamespacedName{Namespace: np.Namespace, Name: np.Name}
	if len(problems) == 0 {
		delete(r.reported, key)
		return nil
	}
	event := r.event(np, problems)
	if r.reported[key] == event.Name {
		return nil
	}
	err := r.client.Create(ctx, event)
	switch {
	case err == nil:
		r.log.Info("Policy has problems", "policy", key.String(), "problems", event.Note)
	case apierrors.IsAlreadyExists(err),
		// The namespace is being deleted, together with its Events.
		apierrors.IsNotFound(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
	default:
		return fmt.Errorf("writing an Event on policy %s: %w", key, err)
	}
	r.reported[key] = event.Name
	return nil
}

func (r *reporter) event(np *metav1.ObjectMeta, problems []policy.FieldError) *eventsv1.Event {
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
		Note:                message.Truncate(note, message.Limit),
		Regarding: corev1.ObjectReference{
			APIVersion:      networkingv1.SchemeGroupVersion.String(),
			Kind:            "NetworkPolicy",
			Namespace:       np.Namespace,
			Name:            np.Name,
			UID:             np.UID,
			ResourceVersion: np.ResourceVersion,
		},
	}
}
