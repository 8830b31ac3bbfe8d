package lint

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/policy"
)

var noPodSelected = Check{
	Name:       "no-pod-selected",
	Severities: []Severity{Warning},
	Doc:        "a `podSelector` that selects no pod, or only pods in the host network",
	run: eachPolicy(func(p *pass, s *subject) {
		if p.anyPod && len(s.pods) == 0 {
			p.selectsNothing(s)
		}
	}),
}

func (p *pass) selectsNothing(s *subject) {
	const fixNamespace = "check metadata.namespace: a policy selects pods of its own namespace only"
	at, selector := s.at("spec.podSelector", subjectPart), s.Subject.Pods
	if pod := p.selectedHostPod(s); pod != nil {
		p.report(at, Warning, "protect pods in the host network with the firewall of the node",
			"the policy selects only pods in the host network, such as %s: policies never apply to such pods", pod.Name)
		return
	}
	switch elsewhere := p.elsewhere(s); {
	case selector.Empty() || len(p.pods[s.Scope]) == 0 && elsewhere == "":
		p.report(at, Warning, fixNamespace, "there is no pod in namespace %s", s.Scope)
	case elsewhere != "":
		p.report(at, Warning, fmt.Sprintf("set metadata.namespace: %s; a policy selects pods of its own namespace only", elsewhere),
			"no pod in namespace %s has %s, but pods in namespace %s do", s.Scope, selector, elsewhere)
	default:
		p.report(at, Warning, "compare the selector with the labels of the pods: "+p.similarLabels(s),
			"no pod in namespace %s has %s: the policy does nothing", s.Scope, selector)
	}
}

// selectedHostPod returns a pod in the host network that the policy would select if the pod
// were in the pod network. It returns nil if no such pod exists.
func (c *cluster) selectedHostPod(s *subject) *policy.Pod {
	for _, pod := range c.hostPods[s.Scope] {
		if s.Subject.Pods.Matches(pod.Labels) {
			return pod
		}
	}
	return nil
}

// elsewhere returns another namespace that contains a pod that matches the policy's
// podSelector. It returns "" if no such namespace exists.
func (c *cluster) elsewhere(s *subject) string {
	for namespace, pods := range c.podsByNamespace() {
		if namespace != s.Scope && slices.ContainsFunc(pods, func(p *policy.Pod) bool { return s.Subject.Pods.Matches(p.Labels) }) {
			return namespace
		}
	}
	return ""
}

// similarLabels describes labels that the author of the selector may have meant. It uses the
// first label key of the selector that at least one pod in the policy's namespace has, and
// lists the values of the pods for this key.
func (c *cluster) similarLabels(s *subject) string {
	firstKey := ""
	for r := range s.Subject.Pods.Requirements() {
		if firstKey == "" {
			firstKey = r.Key
		}
		values := map[string]bool{}
		for _, pod := range c.pods[s.Scope] {
			if v, ok := pod.Labels.Lookup(r.Key); ok {
				values[v] = true
			}
		}
		if len(values) > 0 {
			return fmt.Sprintf("for %s they have %s", r.Key, few(slices.Sorted(maps.Keys(values))))
		}
	}
	return fmt.Sprintf("none of them has %s", firstKey)
}
