package enforcer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/controllers/message"
)

// containerFailures returns, for each node with a failed container, the reason for the failure.
// The reason includes the last line of the container's termination message, for example with
// the name of a feature that the kernel lacks. With terminationMessagePolicy
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
			return fmt.Sprintf("%s ended with code %d: %s", c.Name, t.ExitCode, firstNonEmpty(lastLine(t.Message), t.Reason, "no message"))
		}
	}
	if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
		return fmt.Sprintf("%s is waiting: %s", c.Name, firstNonEmpty(w.Message, w.Reason, "no reason given"))
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

// starting describes why the dataplane of a node is not ready. The field `since` contains the
// creation time of the pod, or its deletion timestamp if the pod is being replaced.
type starting struct {
	text  string
	since time.Time
}

// startingDataplanes returns, for each node whose dataplane is not ready, why it is not.
func startingDataplanes(pods []corev1.Pod) map[string]starting {
	out, ready := map[string]starting{}, map[string]bool{}
	for i := range pods {
		pod := &pods[i]
		for _, c := range pod.Status.ContainerStatuses {
			switch {
			case c.Name != dataplaneContainerName:
			case pod.DeletionTimestamp != nil:
				out[pod.Spec.NodeName] = starting{"its dataplane is being replaced", pod.DeletionTimestamp.Time}
			case c.Ready:
				ready[pod.Spec.NodeName] = true
			default:
				out[pod.Spec.NodeName] = starting{"its dataplane is starting", pod.CreationTimestamp.Time}
			}
		}
	}
	maps.DeleteFunc(out, func(node string, _ starting) bool { return ready[node] })
	return out
}
