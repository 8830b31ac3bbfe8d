package enforcer

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/sluicenet/sluice/controllers/enforcer/desired"
)

// pending describes the nodes that a step waits for.
type pending struct {
	what string
	// nodes contains a line for each node that the step waits for. Each line starts with
	// the name of the node.
	nodes []string
	// faults contains a line for each node on which an operation fails.
	faults []string
}

// orNil returns `p` with sorted lines, or nil if the step waits for no node and has no fault.
func (p *pending) orNil() *pending {
	if len(p.nodes) == 0 && len(p.faults) == 0 {
		return nil
	}
	slices.Sort(p.nodes)
	slices.Sort(p.faults)
	p.faults = slices.Compact(p.faults)
	return p
}

// addUnproved adds a node whose uninstall pod has not proved yet that nothing is left on the node.
func (p *pending) addUnproved(node string, proofs proofs) {
	failure := proofs.failures[node]
	if failure != "" {
		p.faults = append(p.faults, node+": "+failure)
	}
	p.nodes = append(p.nodes, node+": "+cmp.Or(failure, "no proof yet"))
}

// proofs contains the results of uninstall pods by node. A ready pod proves that the dataplane
// left nothing on the node.
type proofs struct {
	proved map[string]bool
	// failures contains, for each node, why the uninstall pod does not run.
	failures map[string]string
}

// proofs applies an uninstall DaemonSet and returns the results of its pods.
func (r *Reconciler) proofs(ctx context.Context, wanted *unstructured.Unstructured) (proofs, error) {
	daemonSet, err := r.owned.Apply(ctx, wanted)
	if err != nil {
		return proofs{}, err
	}
	pods, err := r.pods(ctx, desired.ComponentUninstall)
	if err != nil {
		return proofs{}, err
	}
	p := proofs{proved: map[string]bool{}, failures: containerFailures(pods)}
	for i := range pods {
		if metav1.IsControlledBy(&pods[i], daemonSet) && isReady(&pods[i]) {
			p.proved[pods[i].Spec.NodeName] = true
		}
	}
	return p, nil
}

// isReady reports whether a pod is ready. The pod may be nil.
func isReady(pod *corev1.Pod) bool {
	if pod == nil || pod.DeletionTimestamp != nil {
		return false
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
