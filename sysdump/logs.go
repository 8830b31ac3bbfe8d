package sysdump

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/live"
)

// logBytes is the maximum size of a log in bytes.
const logBytes = 4 << 20

// tokens matches credentials that a message of a library could contain: bearer tokens and JSON
// web tokens.
var tokens = regexp.MustCompile(`(?i)bearer\s+\S+|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)?|((password|secret|token)["']?\s*[:=]\s*["']?)[^\s"',}]+`)

func removeTokens(text string) string { return tokens.ReplaceAllString(text, "${2}"+removed) }

// addLogs adds the logs of the operator and of some pods on nodes. Pods with a problem come first.
func (d *dump) addLogs(ctx context.Context) {
	var nodes int
	pods := slices.Clone(d.system.pods)
	slices.SortStableFunc(pods, func(a, b corev1.Pod) int { return rank(d, &a) - rank(d, &b) })
	for i := range pods {
		p := &pods[i]
		if p.Labels["app.kubernetes.io/component"] != "operator" {
			if nodes++; nodes > d.o.Pods {
				continue
			}
		}
		for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
			d.addLog(ctx, p, s.Name, false)
			if s.RestartCount > 0 {
				d.addLog(ctx, p, s.Name, true)
			}
		}
	}
	if more := nodes - d.o.Pods; more > 0 {
		d.omitted = append(d.omitted, fmt.Sprintf("the logs of %d more pods; --pods sets the limit", more))
	}
}

// rank is 0 for the operator, 1 for pods with a problem, and 2 for other pods.
func rank(d *dump, p *corev1.Pod) int {
	if p.Labels["app.kubernetes.io/component"] == "operator" {
		return 0
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue {
			return 1
		}
	}
	for i := range d.reports.Nodes {
		n := &d.reports.Nodes[i]
		if n.Name == p.Spec.NodeName && !meta.IsStatusConditionTrue(n.Status.Conditions, string(v1alpha1.ConditionReady)) {
			return 1
		}
	}
	return 2
}

func (d *dump) addLog(ctx context.Context, p *corev1.Pod, container string, previous bool) {
	name := "logs/" + d.names.inText(p.Name) + "/" + container
	if previous {
		name += ".previous"
	}
	text, err := d.c.Log(ctx, p.Namespace, p.Name, live.LogOptions{Container: container, Previous: previous, Lines: int64(d.o.Lines), Bytes: logBytes})
	if err != nil {
		d.missing(name, err)
		return
	}
	d.addText(name+".log", []byte(removeTokens(string(text))))
}
