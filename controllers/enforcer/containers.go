package enforcer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/controllers/message"
)

// containerFailures returns, for each node with a failed container, the reason for the failure. The
// reason includes the last line of the container's termination message. This line can contain the
// name of a feature that the kernel lacks, for example. With terminationMessagePolicy
// FallbackToLogsOnError, the termination message is the end of the log.
func containerFailures(pods []corev1.Pod) map[string]string {
	out := map[string]string{}
	for i := range pods {
		pod := &pods[i]
		for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
			if text := failureOf(&c); text != "" {
				out[pod.Spec.NodeName] = text
			}
		}
	}
	return out
}

// failureOf returns why a container failed, or "" if it is running or starting.
func failureOf(c *corev1.ContainerStatus) string {
	if c.State.Running != nil && c.Ready {
		return ""
	}
	for _, state := range []corev1.ContainerState{c.State, c.LastTerminationState} {
		if t := state.Terminated; t != nil && t.ExitCode != 0 {
			return fmt.Sprintf("%s ended with code %d: %s", c.Name, t.ExitCode, cmp.Or(lastLine(t.Message), t.Reason, "no message"))
		}
	}
	if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
		return fmt.Sprintf("%s is waiting: %s", c.Name, cmp.Or(w.Message, w.Reason, "no reason given"))
	}
	return ""
}

// lastLine returns the last non-empty line of a text. It cuts the line to lineLimit bytes.
func lastLine(text string) string {
	const lineLimit = 512
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return message.Truncate(strings.TrimSpace(lines[len(lines)-1]), lineLimit)
}

// dataplaneContainerName is the name of the container that evaluates packets.
const dataplaneContainerName = "dataplane"

// unreadyDataplane describes a dataplane that is not ready.
type unreadyDataplane struct {
	// replaced reports whether the pod is being deleted.
	replaced bool
	// since is the time of the last transition of the pod's condition ContainersReady, by the
	// clock of the node. It is only shown to users, and never compared with another clock.
	since metav1.Time
	// message is the last message of the container, or "".
	message        string
	namespace, pod string
}

// starting returns the text for a dataplane that may still start.
func (u *unreadyDataplane) starting() string {
	if u.replaced {
		return "its dataplane is being replaced"
	}
	return "its dataplane is starting"
}

// late returns the text for a dataplane that should have started by now. The parameters `why` and
// `fault` are the reason and the fault from the NodeEnforcer. They may be empty.
func (u *unreadyDataplane) late(why, fault string) string {
	if why == u.starting() {
		why = ""
	}
	out := "its dataplane is not ready"
	if u.replaced {
		out = "its pod does not end"
	}
	if !u.since.IsZero() {
		out += " since " + u.since.UTC().Format(time.RFC3339)
	}
	if cause := cmp.Or(why, fault, u.message); cause != "" {
		out += ": " + cause
	}
	return out + fmt.Sprintf("; see kubectl -n %s logs %s -c %s", u.namespace, u.pod, dataplaneContainerName)
}

// unreadyDataplanes returns the dataplanes that are not ready, by node. A node on which another
// dataplane is ready is not included.
func unreadyDataplanes(pods []corev1.Pod) map[string]*unreadyDataplane {
	out, ready := map[string]*unreadyDataplane{}, map[string]bool{}
	for i := range pods {
		pod := &pods[i]
		for j := range pod.Status.ContainerStatuses {
			c := &pod.Status.ContainerStatuses[j]
			switch {
			case c.Name != dataplaneContainerName:
			case pod.DeletionTimestamp == nil && c.Ready:
				ready[pod.Spec.NodeName] = true
			default:
				out[pod.Spec.NodeName] = &unreadyDataplane{
					replaced: pod.DeletionTimestamp != nil, since: unreadySince(pod), message: lastMessage(c),
					namespace: pod.Namespace, pod: pod.Name,
				}
			}
		}
	}
	maps.DeleteFunc(out, func(node string, _ *unreadyDataplane) bool { return ready[node] })
	return out
}

// unreadySince returns the time at which the containers of a pod became unready. The result is
// zero if the kubelet has not reported this time.
func unreadySince(pod *corev1.Pod) metav1.Time {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.ContainersReady && condition.Status != corev1.ConditionTrue {
			return condition.LastTransitionTime
		}
	}
	return metav1.Time{}
}

// lastMessage returns the last message of a container, or "" if it has none.
func lastMessage(c *corev1.ContainerStatus) string {
	if w := c.State.Waiting; w != nil && w.Message != "" {
		return w.Message
	}
	for _, state := range []corev1.ContainerState{c.State, c.LastTerminationState} {
		if t := state.Terminated; t != nil {
			return cmp.Or(lastLine(t.Message), t.Reason)
		}
	}
	return ""
}

// blockingNodes returns the nodes with a pod that is not ready or is being deleted. Too many such
// nodes prevent the DaemonSet controller from replacing further pods.
func blockingNodes(pods []corev1.Pod) map[string]bool {
	out := map[string]bool{}
	for i := range pods {
		if !isReady(&pods[i]) {
			out[pods[i].Spec.NodeName] = true
		}
	}
	return out
}
