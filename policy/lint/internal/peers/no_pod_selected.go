package peers

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// NoPodSelected is the check no-pod-selected.
var NoPodSelected = check.Check{
	Name:       "no-pod-selected",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	ByAbsence:  true,
	Doc:        "a `podSelector` or a `subject` that selects no pod, or only pods in the host network",
	Run: func(p *check.Pass) {
		if p.PodsKnown && !check.AnyPod(p.Selected()) && onlySometimes(p, &p.Subject) == "" {
			selectsNothing(p)
		}
	},
}

func selectsNothing(p *check.Pass) {
	if p.ClusterScoped() {
		if p.NamespaceObjects > 0 {
			p.Report(check.Outside("spec.subject", check.SubjectPart), check.Warning, "compare the selectors with the labels of the namespaces and the pods",
				"the subject contains no pod in the pod network: the policy does nothing")
		}
		return
	}
	const fixNamespace = "check metadata.namespace: a policy selects pods of its own namespace only"
	at, selector := check.Outside("spec.podSelector", check.SubjectPart), p.Subject.Pods
	if pod := selectedHostPod(p); pod != nil {
		if f := p.Find(at, check.Warning); f != nil {
			f.Message = "the policy selects only pods in the host network: policies never apply to such pods"
			f.Fix = "protect pods in the host network with the firewall of the node"
			p.Detail(f, "such as %s", pod.Name)
		}
		return
	}
	switch elsewhere := p.NamespaceWith(selector); {
	case selector.Empty() || len(p.Namespace.Groups) == 0 && elsewhere == "":
		p.Report(at, check.Warning, fixNamespace, "there is no pod in namespace %s", p.Scope)
	case elsewhere != "":
		p.Report(at, check.Warning, fmt.Sprintf("set metadata.namespace: %s; a policy selects pods of its own namespace only", elsewhere),
			"no pod in namespace %s has %s, but pods in namespace %s do", p.Scope, selector, elsewhere)
	default:
		p.Report(at, check.Warning, "compare the selector with the labels of the pods: "+similarLabels(p),
			"no pod in namespace %s has %s: the policy does nothing", p.Scope, selector)
	}
}

// selectedHostPod returns a pod in the host network that the policy would select if the pod
// were in the pod network. It returns nil if no such pod exists.
func selectedHostPod(p *check.Pass) *policy.Pod {
	for _, pod := range p.Namespace.HostPods {
		if p.Matches(p.Subject.Pods, &check.Group{Labels: pod.Labels}) {
			return pod
		}
	}
	return nil
}

// similarLabels describes labels that the author of the selector may have meant. It uses the
// selector's first label key that at least one pod in the policy's namespace has. It lists the
// values of this label in the namespace's pods.
func similarLabels(p *check.Pass) string {
	firstKey := ""
	for r := range p.Subject.Pods.Requirements() {
		if firstKey == "" {
			firstKey = r.Key
		}
		values := map[string]bool{}
		for _, g := range p.Namespace.Groups {
			if v, ok := g.Labels.Lookup(r.Key); ok && p.Spend(10+g.Labels.Size()) {
				values[v] = true
			}
		}
		if len(values) > 0 {
			return fmt.Sprintf("for %s they have %s", r.Key, sample.Few(slices.Sorted(maps.Keys(values))))
		}
	}
	return fmt.Sprintf("none of them has %s", firstKey)
}
