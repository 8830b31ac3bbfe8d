package enforcer

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=events,verbs=list

const (
	// failedCreate is the reason of the Event that the DaemonSet controller creates when the
	// API server rejects a pod, for example because of a quota or an admission policy. No other
	// object contains the cause.
	failedCreate = "FailedCreate"
	// rejectionsInterval is the minimum time between two requests for Events about rejected
	// pods.
	rejectionsInterval = 20 * time.Second
	// maxEvents limits the number of Events that one request reads.
	maxEvents = 100
)

// rejections reads why the API server rejects pods of the DaemonSet.
type rejections struct {
	read time.Time
	last string
}

// newest returns the note of the newest Event about a rejected pod, or "" if every selected node
// that is Ready has a pod. It reads Events only while a pod is missing.
func (r *rejections) newest(ctx context.Context, reader client.Reader, enforcer *v1alpha1.Enforcer, o *observation) (string, error) {
	if o.daemonSet == nil || len(withoutPod(enforcer, o)) == 0 {
		*r = rejections{}
		return "", nil
	}
	if time.Since(r.read) < rejectionsInterval {
		return r.last, nil
	}
	var list corev1.EventList
	err := reader.List(ctx, &list, client.InNamespace(o.daemonSet.Namespace), client.Limit(maxEvents), client.MatchingFields{
		"involvedObject.uid": string(o.daemonSet.UID), "reason": failedCreate,
	})
	if err != nil {
		return "", fmt.Errorf("reading the Events of DaemonSet %s: %w", o.daemonSet.Name, err)
	}
	r.read, r.last = time.Now(), ""
	var newest time.Time
	for i := range list.Items {
		if at := list.Items[i].LastTimestamp.Time; r.last == "" || at.After(newest) {
			newest, r.last = at, list.Items[i].Message
		}
	}
	return r.last, nil
}

// withoutPod returns the selected nodes that are Ready and have no enforcing pod.
func withoutPod(enforcer *v1alpha1.Enforcer, o *observation) []string {
	occupied := occupiedNodes(o.pods)
	var out []string
	for _, node := range desiredNodes(&enforcer.Spec, o.nodes) {
		if !isNotReady(node) && occupied[node.Name] == "" {
			out = append(out, node.Name)
		}
	}
	return out
}
