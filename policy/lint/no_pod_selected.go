package lint

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

var noPodSelected = Check{
	Name:       "no-pod-selected",
	Severities: []Severity{Warning},
	Scopes:     []Scope{ScopeNamespace, ScopeCluster},
	Doc:        "a `podSelector` or a `subject` that selects no pod, or only pods in the host network",
	run: func(p *pass) {
		if p.podsKnown && !anyPod(p.selected()) {
			p.selectsNothing()
		}
	},
}

func (p *pass) selectsNothing() {
	if p.clusterScoped() {
		if p.objects > 0 {
			p.report(outside("spec.subject", subjectPart), Warning, "compare the selectors with the labels of the namespaces and the pods",
				"the subject contains no pod in the pod network: the policy does nothing")
		}
		return
	}
	const fixNamespace = "check metadata.namespace: a policy selects pods of its own namespace only"
	at, selector := outside("spec.podSelector", subjectPart), p.Subject.Pods
	if pod := p.selectedHostPod(); pod != nil {
		if f := p.find(at, Warning); f != nil {
			f.Message = "the policy selects only pods in the host network: policies never apply to such pods"
			f.Fix = "protect pods in the host network with the firewall of the node"
			p.detail(f, "such as %s", pod.Name)
		}
		return
	}
	switch elsewhere := p.namespaceWith(selector); {
	case selector.Empty() || len(p.namespace.groups) == 0 && elsewhere == "":
		p.report(at, Warning, fixNamespace, "there is no pod in namespace %s", p.Scope)
	case elsewhere != "":
		p.report(at, Warning, fmt.Sprintf("set metadata.namespace: %s; a policy selects pods of its own namespace only", elsewhere),
			"no pod in namespace %s has %s, but pods in namespace %s do", p.Scope, selector, elsewhere)
	default:
		p.report(at, Warning, "compare the selector with the labels of the pods: "+p.similarLabels(),
			"no pod in namespace %s has %s: the policy does nothing", p.Scope, selector)
	}
}

// selectedHostPod returns a pod in the host network that the policy would select if the pod
// were in the pod network. It returns nil if no such pod exists.
func (p *pass) selectedHostPod() *policy.Pod {
	for _, pod := range p.namespace.hostPods {
		if p.matches(p.Subject.Pods, &group{labels: pod.Labels}) {
			return pod
		}
	}
	return nil
}

// similarLabels describes labels that the author of the selector may have meant. It uses the
// first label key of the selector that at least one pod in the policy's namespace has, and
// lists the values of the pods for this key.
func (p *pass) similarLabels() string {
	firstKey := ""
	for r := range p.Subject.Pods.Requirements() {
		if firstKey == "" {
			firstKey = r.Key
		}
		values := map[string]bool{}
		for _, g := range p.namespace.groups {
			if v, ok := g.labels.Lookup(r.Key); ok && p.spend(10+g.labels.Size()) {
				values[v] = true
			}
		}
		if len(values) > 0 {
			return fmt.Sprintf("for %s they have %s", r.Key, sample.Few(slices.Sorted(maps.Keys(values))))
		}
	}
	return fmt.Sprintf("none of them has %s", firstKey)
}
