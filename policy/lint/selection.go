package lint

import (
	"fmt"
	"maps"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
)

// selection finds a policy that selects no pod.
func (c *check) selection() {
	if !c.anyPod || c.subject.selector == nil || len(c.subject.pods) > 0 {
		return
	}
	const name, field = "no-pod-selected", "spec.podSelector"
	selector := selectorText(&c.subject.object.Spec.PodSelector)
	for _, pod := range c.hostPods[c.subject.namespace] {
		if c.subject.selector.Matches(pod.Labels) {
			c.found(Warning, name, field, "protect pods of the host network with the node's own firewall",
				"selects only pods of the host network, such as %s: policies never apply to them", pod.Name)
			return
		}
	}
	switch elsewhere := c.elsewhere(); {
	case len(c.pods[c.subject.namespace]) == 0 && len(elsewhere) == 0:
		c.found(Warning, name, field, "check metadata.namespace: a policy selects pods of its own namespace only",
			"there is no pod in namespace %s", c.subject.namespace)
	case len(elsewhere) > 0 && !c.subject.selector.Empty():
		c.found(Warning, name, field, fmt.Sprintf("set metadata.namespace: %s; a policy selects pods of its own namespace only", elsewhere[0]),
			"no pod in namespace %s has %s, but pods in namespace %s do", c.subject.namespace, selector, elsewhere[0])
	case c.subject.selector.Empty():
		c.found(Warning, name, field, "check metadata.namespace: a policy selects pods of its own namespace only",
			"there is no pod in namespace %s", c.subject.namespace)
	default:
		c.found(Warning, name, field, "compare the selector with the labels of the pods: "+c.labelsNear(),
			"no pod in namespace %s has %s: the policy does nothing", c.subject.namespace, selector)
	}
}

// elsewhere lists other namespaces with pods that the selector would match.
func (c *check) elsewhere() []string {
	var out []string
	for _, namespace := range slices.Sorted(maps.Keys(c.pods)) {
		if namespace == c.subject.namespace {
			continue
		}
		for _, pod := range c.pods[namespace] {
			if c.subject.selector.Matches(pod.Labels) {
				out = append(out, namespace)
				break
			}
		}
	}
	return out
}

// labelsNear shows values that pods have for the keys the selector asks for.
func (c *check) labelsNear() string {
	requirements, _ := c.subject.selector.Requirements()
	for _, r := range requirements {
		values := map[string]bool{}
		for _, pod := range c.pods[c.subject.namespace] {
			if v, ok := pod.Labels.Lookup(r.Key()); ok {
				values[v] = true
			}
		}
		if len(values) > 0 {
			return fmt.Sprintf("for %s they have %s", r.Key(), few(slices.Sorted(maps.Keys(values))))
		}
	}
	if len(requirements) > 0 {
		return fmt.Sprintf("none of them has %s", requirements[0].Key())
	}
	return "none"
}

// policyTypes finds rules that the policy's types switch off.
func (c *check) policyTypes() {
	spec := &c.subject.object.Spec
	if len(spec.Ingress) > 0 && !c.subject.ingress {
		c.found(Warning, "dead-rules", "spec.ingress", "add Ingress to spec.policyTypes, or take the rules away",
			"policyTypes does not list Ingress, so %s nothing", count(len(spec.Ingress), "ingress rule does", "ingress rules do"))
	}
	if len(spec.Egress) > 0 && !c.subject.egress {
		c.found(Warning, "dead-rules", "spec.egress", "add Egress to spec.policyTypes, or take the rules away",
			"policyTypes does not list Egress, so %s nothing", count(len(spec.Egress), "egress rule does", "egress rules do"))
	}
}

// entireRule finds a rule that makes the others of its list idle.
func (c *check) entireRule(r *ruleOf) {
	total := len(c.subject.object.Spec.Egress)
	if r.ingress {
		total = len(c.subject.object.Spec.Ingress)
	}
	if len(r.peers) == 0 && len(r.ports) == 0 && total > 1 {
		c.found(Warning, "rule-allows-all", r.field, "take the other rules away, or give this one peers or ports",
			"this rule has neither peers nor ports and allows everything: the other rules of the list add nothing")
	}
}

// missingNamespaces finds namespaces that no namespaceSelector can match
// because their object is not there.
func (w *world) missingNamespaces() {
	if !slices.ContainsFunc(w.policies, usesNamespaces) {
		return
	}
	for _, namespace := range slices.Sorted(maps.Keys(w.pods)) {
		if _, known := w.namespaces[namespace]; known {
			continue
		}
		w.findings = append(w.findings, Finding{
			Severity: Note, Check: "no-namespace-object", Namespace: namespace,
			Message: fmt.Sprintf("there are pods in namespace %s but no Namespace object: no namespaceSelector matches them, not even {}", namespace),
			Mend:    "give the Namespace object too (kubectl get namespaces -o yaml)",
		})
	}
}

func usesNamespaces(s *subject) bool {
	for i := range s.rules {
		if slices.ContainsFunc(s.rules[i].peers, func(p networkingv1.NetworkPolicyPeer) bool { return p.NamespaceSelector != nil }) {
			return true
		}
	}
	return false
}
