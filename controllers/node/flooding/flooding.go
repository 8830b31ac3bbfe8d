// Package flooding reports the pods of a node that open or receive new flows faster than one of the
// limits of the dataplane. For each flood, it records one Event about the pod.
package flooding

import (
	"context"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/sluicenet/sluice/dataplane/report"
)

// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// interval is the time between two reads of the dataplane's status.
const interval = 5 * time.Second

// Reporter records Events about the flooding pods in the status of the dataplane.
type Reporter struct {
	Recorder events.EventRecorder
	// Status returns the newest status of the dataplane, or nil if the dataplane does not respond.
	Status func() *report.Status
	// UID returns the UID of a pod. It returns "" if the pod does not exist.
	UID func(ctx context.Context, pod types.NamespacedName) types.UID
	// reported contains the time at which the last reported flood of an address began.
	reported map[key]time.Time
}

type key struct {
	address   netip.Addr
	direction string
}

// Add adds a Reporter to a manager. The parameter `status` returns the newest status of the dataplane,
// or nil if the dataplane does not respond.
func Add(mgr manager.Manager, status func() *report.Status) error {
	reader := mgr.GetAPIReader()
	return mgr.Add(&Reporter{
		Recorder: mgr.GetEventRecorder("sluice-agent"), Status: status,
		UID: func(ctx context.Context, pod types.NamespacedName) types.UID {
			read := &metav1.PartialObjectMetadata{}
			read.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Pod"))
			if err := reader.Get(ctx, pod, read); err != nil {
				return ""
			}
			return read.UID
		},
	})
}

// Start records Events until the context ends. It implements manager.Runnable.
func (r *Reporter) Start(ctx context.Context) error {
	again := time.NewTicker(interval)
	defer again.Stop()
	for {
		r.Report(ctx)
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// Report records an Event for each flood that has not been reported yet.
func (r *Reporter) Report(ctx context.Context) {
	status := r.Status()
	if status == nil {
		return
	}
	now := map[key]time.Time{}
	for i := range status.Flooding {
		f := &status.Flooding[i]
		k := key{f.Address, f.Direction}
		now[k] = f.Since
		namespace, name, ok := strings.Cut(f.Pod, "/")
		if !ok || r.reported[k].Equal(f.Since) {
			continue
		}
		pod := &corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: name,
			UID: r.UID(ctx, types.NamespacedName{Namespace: namespace, Name: name}),
		}
		r.Recorder.Eventf(pod, nil, corev1.EventTypeWarning, "TooManyNewFlows", "Evaluate",
			"%s %s %d new flows per second, so Sluice evaluates its new flows with limited processor time", f.Pod, verb(f), f.PerSecond)
	}
	r.reported = now
}

// verb states whether a pod opens or receives the flows.
func verb(f *report.FloodingPod) string {
	if f.Direction == "ingress" {
		return "receives"
	}
	return "opens"
}
