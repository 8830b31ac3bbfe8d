package policystatus

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// observation contains the state from which the status of one policy is computed.
type observation struct {
	networkPolicy
	// pods is the number of pods that the policy selects.
	pods int
	// nodes is the number of nodes that have a selected pod with an address. lags lists the
	// nodes among these that do not enforce the current version of the policy.
	nodes    int
	lags     []lag
	findings []v1alpha1.Finding
}

// observe reads the state of a policy. The parameter held is the status that the PolicyStatus
// currently has in the API server.
func (r *Reconciler) observe(ctx context.Context, np networkPolicy, held *v1alpha1.EnforcementStatus) (*observation, error) {
	var pods corev1.PodList
	if err := r.reader.List(ctx, &pods, client.InNamespace(np.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the pods of policy %s/%s: %w", np.Namespace, np.Name, err)
	}
	name := nameOf(np)
	selected, required := r.requirements(np, pods.Items)
	out := &observation{networkPolicy: np, pods: selected, nodes: len(required), lags: r.enforcement.require(name, required)}
	found, checked := r.findings.Of(name)
	out.findings = convertFindings(np, found)
	if !checked && held.ObservedGeneration == np.Generation {
		// Keep the findings of the previous operator until lint has run.
		out.findings = held.Findings
	}
	return out, nil
}

// requirements returns the number of pods that a policy selects. For each node that must
// enforce the current version of the policy, it also returns the resource versions that the
// node must contain.
func (r *Reconciler) requirements(np networkPolicy, pods []corev1.Pod) (selected int, required map[string]versions) {
	required = map[string]versions{}
	version := r.revisions.of(np)
	for i := range pods {
		pod := readPod(&pods[i])
		if !np.policy.Selects(pod) {
			continue
		}
		selected++
		if reachable(pod) {
			required[pod.Node] = required[pod.Node].newest(versions{policies: version, pods: r.revisions.of(&pods[i])})
		}
	}
	return selected, required
}

// startTime is how long a restarted operator keeps the statuses of the previous operator. The
// restarted operator cannot determine whether the last change of a pod was relevant for
// policies, so it treats the change as relevant. Nodes therefore seem to be behind for up to 12
// seconds, until their agents report the newest versions.
const startTime = 15 * time.Second

// remainingStartTime returns how much of startTime remains.
func (r *Reconciler) remainingStartTime() time.Duration { return startTime - time.Since(r.started) }

// onlyBehind reports whether nodes seem to be behind only because the operator restarted. It
// returns true if the policy was enforced before and is unchanged, if it has as many pods and
// nodes as before, and if all these nodes enforce policies.
func (o *observation) onlyBehind(old *v1alpha1.EnforcementStatus) bool {
	return len(o.lags) > 0 && !slices.ContainsFunc(o.lags, func(l lag) bool { return l.problem != "" }) &&
		meta.IsStatusConditionTrue(old.Conditions, string(v1alpha1.ConditionEnforced)) &&
		old.ObservedGeneration == o.Generation && old.Pods == int32(o.pods) && old.Nodes.Needed == int32(o.nodes)
}
