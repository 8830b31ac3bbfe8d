package helmhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/controllers/enforcer/installation"
	"github.com/sluicenet/sluice/controllers/enforcer/record"
)

const (
	// pollInterval is the time between two reads of the Enforcer.
	pollInterval = time.Second
	// requestTimeout limits the time of one read of the Enforcer.
	requestTimeout = 10 * time.Second
	// namedNodes is the maximum number of nodes that an error names.
	namedNodes = 50
)

// Uninstaller deletes the Enforcer and waits until the operator has removed the rules from all nodes.
type Uninstaller struct {
	Client client.Client
	// Namespace is the namespace of the operator.
	Namespace string
	// Timeout limits the time for which Run waits.
	Timeout time.Duration
	Log     logr.Logger
}

// Run deletes the Enforcer and waits until no node has rules. It does not wait for nodes that no
// longer exist or that the user excluded from the uninstallation, and logs their names. If nodes
// may still have rules after the timeout, the error names these nodes. The operator continues to
// remove the rules, so the caller can call Run again.
func (u *Uninstaller) Run(ctx context.Context) error {
	var enforcer v1alpha1.Enforcer
	err := u.Client.Get(ctx, types.NamespacedName{Name: v1alpha1.EnforcerName}, &enforcer)
	switch {
	case meta.IsNoMatchError(err):
		u.Log.Info("The kind Enforcer does not exist, so there is nothing to uninstall")
		return nil
	case apierrors.IsNotFound(err):
		return u.finish(ctx)
	case err != nil:
		return fmt.Errorf("reading the Enforcer: %w", err)
	}
	if owner := installation.Owner(&enforcer); owner != "" && owner != u.Namespace {
		return fmt.Errorf("the Enforcer belongs to the installation in namespace %s: uninstall that installation instead", owner)
	}
	err = u.Client.Delete(ctx, &enforcer, client.Preconditions{UID: &enforcer.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the Enforcer: %w", err)
	}
	u.Log.Info("Deleted the Enforcer; waiting until the operator has removed the rules from all nodes", "timeout", u.Timeout.String())
	if err := u.wait(ctx); err != nil {
		return err
	}
	return u.finish(ctx)
}

// wait waits until the Enforcer no longer exists.
func (u *Uninstaller) wait(ctx context.Context) error {
	progress := ""
	err := wait.PollUntilContextTimeout(ctx, pollInterval, u.Timeout, true, func(context.Context) (bool, error) {
		// Use the outer context, so that the end of the timeout does not abort this request.
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		var enforcer v1alpha1.Enforcer
		err := u.Client.Get(ctx, types.NamespacedName{Name: v1alpha1.EnforcerName}, &enforcer)
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			// The API server can be unavailable for a short time, so the next attempt can succeed.
			u.Log.Info("Cannot read the Enforcer", "error", err.Error())
			return false, nil
		}
		if text := progressOf(&enforcer); text != progress {
			u.Log.Info(text)
			progress = text
		}
		return false, nil
	})
	if err == nil || !wait.Interrupted(err) {
		return err
	}
	nodes, listErr := u.nodes(context.WithoutCancel(ctx))
	what := "no node has rules, but the operator has not removed the Enforcer after " + u.Timeout.String()
	if nodes != "" {
		what = fmt.Sprintf("after %s, these nodes may still have rules: %s", u.Timeout, nodes)
	}
	return errors.Join(fmt.Errorf("%s. The operator continues to remove the rules. To wait for it, uninstall again. Last status: %s", what, cmp.Or(progress, "unknown")), listErr)
}

// progressOf describes what the uninstallation waits for.
func progressOf(enforcer *v1alpha1.Enforcer) string {
	condition := meta.FindStatusCondition(enforcer.Status.Conditions, string(v1alpha1.ConditionProgressing))
	if condition == nil || condition.Reason != string(v1alpha1.ReasonUninstalling) {
		return "the operator has not begun to remove the rules: check that the Deployment sluice-operator is available"
	}
	if fault := meta.FindStatusCondition(enforcer.Status.Conditions, string(v1alpha1.ConditionDegraded)); fault != nil && fault.Status == metav1.ConditionTrue {
		return condition.Message + ". Problems: " + fault.Message
	}
	return condition.Message
}

// nodes returns the names of the nodes that have a NodeEnforcer but no ready uninstall pod. A
// NodeEnforcer records that its node has rules, and a ready pod proves that they are removed.
func (u *Uninstaller) nodes(ctx context.Context) (string, error) {
	var records metav1.PartialObjectMetadataList
	records.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NodeEnforcerList"))
	if err := u.Client.List(ctx, &records); err != nil {
		return "", fmt.Errorf("listing NodeEnforcers: %w", err)
	}
	var pods corev1.PodList
	if err := u.Client.List(ctx, &pods, client.InNamespace(u.Namespace), client.MatchingLabels(desired.Labels(desired.ComponentUninstall))); err != nil {
		return "", fmt.Errorf("listing pods: %w", err)
	}
	proved := map[string]bool{}
	for i := range pods.Items {
		for _, condition := range pods.Items[i].Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				proved[pods.Items[i].Spec.NodeName] = true
			}
		}
	}
	var names []string
	for i := range records.Items {
		if name := records.Items[i].Name; !proved[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if more := len(names) - namedNodes; more > 0 {
		names = append(names[:namedNodes], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(names, ", "), nil
}

// finish checks that no node has rules. The caller must call it after the Enforcer has been
// removed. finish logs the names of nodes that may still have rules, because the node no longer
// existed or the user excluded it from the uninstallation.
func (u *Uninstaller) finish(ctx context.Context) error {
	nodes, err := u.nodes(ctx)
	if err != nil {
		return err
	}
	if nodes != "" {
		return fmt.Errorf("there is no Enforcer, but these nodes may still have rules: %s. Create an Enforcer, and uninstall again", nodes)
	}
	left, err := (&record.Left{Reader: u.Client, Namespace: u.Namespace}).Nodes(ctx)
	if err != nil {
		return err
	}
	for _, node := range slices.Sorted(maps.Keys(left)) {
		u.Log.Info("The node may still have rules: run `sluice dataplane --uninstall` on the node, or reboot it", "node", node, "reason", left[node])
	}
	u.Log.Info("The uninstallation is complete", "nodesLeft", len(left))
	return nil
}
