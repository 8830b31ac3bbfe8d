package lint

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicenet/sluice/policy"
)

// peers looks at the selectors of one rule.
func (c *check) peers(r *ruleOf) {
	for i := range r.peers {
		p := &r.peers[i]
		if p.IPBlock != nil || p.PodSelector == nil && p.NamespaceSelector == nil {
			continue
		}
		field := fmt.Sprintf("%s[%d]", r.peersField, i)
		if c.unknownNamespaces(field, p) {
			continue
		}
		c.unmatched(field, p)
	}
	c.twoDashes(r)
}

// unknownNamespaces finds a namespaceSelector that matches no namespace.
func (c *check) unknownNamespaces(field string, p *networkingv1.NetworkPolicyPeer) bool {
	if p.NamespaceSelector == nil || len(c.namespaces) == 0 {
		return false
	}
	selector := selectorOf(p.NamespaceSelector)
	if selector == nil || len(c.namespacesOf(c.subject.namespace, p)) > 0 {
		return false
	}
	mend := "label the namespace, or correct the selector"
	for _, key := range []string{"name", "namespace"} {
		if name, ok := p.NamespaceSelector.MatchLabels[key]; ok {
			if _, exists := c.namespaces[name]; exists {
				mend = fmt.Sprintf("select a namespace by its name with %s: %s", corev1.LabelMetadataName, name)
			}
		}
	}
	c.found(Warning, "no-namespace-matched", field+".namespaceSelector", mend,
		"no namespace has %s: this entry allows nothing", selectorText(p.NamespaceSelector))
	return true
}

// unmatched finds a peer that matches no pod.
func (c *check) unmatched(field string, p *networkingv1.NetworkPolicyPeer) {
	if !c.anyPod || p.PodSelector == nil || p.NamespaceSelector != nil && len(c.namespaces) == 0 {
		return
	}
	selector := selectorOf(p.PodSelector)
	if selector == nil || p.NamespaceSelector != nil && selectorOf(p.NamespaceSelector) == nil || len(c.podsOf(c.subject.namespace, p)) > 0 {
		return
	}
	where := "in the matching namespaces"
	if p.NamespaceSelector == nil {
		where = "in namespace " + c.subject.namespace
	}
	what := "there is no pod " + where
	if !selector.Empty() {
		what = fmt.Sprintf("no pod %s has %s", where, selectorText(p.PodSelector))
	}
	mend := "correct the selector, or take the entry away"
	if elsewhere := c.namespaceWith(p); p.NamespaceSelector == nil && elsewhere != "" {
		mend = fmt.Sprintf("a podSelector alone looks in the policy's own namespace; pods in namespace %s match: add namespaceSelector: {matchLabels: {%s: %s}} to the same entry",
			elsewhere, corev1.LabelMetadataName, elsewhere)
	}
	severity := Warning
	if selector.Empty() {
		severity = Note
	}
	c.found(severity, "no-peer-matched", field, mend, "%s: this entry allows nothing", what)
}

// namespaceWith gives a namespace with pods that the peer's podSelector would
// match.
func (c *check) namespaceWith(p *networkingv1.NetworkPolicyPeer) string {
	selector := selectorOf(p.PodSelector)
	if selector == nil || selector.Empty() {
		return ""
	}
	for _, namespace := range slices.Sorted(maps.Keys(c.pods)) {
		for _, pod := range c.pods[namespace] {
			if selector.Matches(pod.Labels) {
				return namespace
			}
		}
	}
	return ""
}

// twoDashes finds a namespaceSelector and a podSelector in entries of their
// own, one behind the other, where one entry with both was likely meant: two
// entries allow either, one entry with both demands both.
func (c *check) twoDashes(r *ruleOf) {
	for i := 0; i+1 < len(r.peers); i++ {
		a, b := &r.peers[i], &r.peers[i+1]
		if onlyPods(a) {
			a, b = b, a
		}
		if !onlyNamespaces(a) || !onlyPods(b) || len(b.PodSelector.MatchLabels)+len(b.PodSelector.MatchExpressions) == 0 {
			continue
		}
		severity, why := c.suspicion(r, a, b)
		c.found(severity, "two-dashes", fmt.Sprintf("%s[%d]", r.peersField, i+1),
			"if both must hold, take the second dash away, so that namespaceSelector and podSelector stand in one entry",
			"two entries: either any pod of namespaces with %s, or pods with %s in namespace %s%s",
			namespacesText(a), selectorText(b.PodSelector), c.subject.namespace, why)
		i++
	}
}

// suspicion weighs whether one entry was meant. Alone in their list, the two
// are the trap as everybody falls into it; among other entries they are often a
// list of who may come in.
func (c *check) suspicion(r *ruleOf, namespaces, pods *networkingv1.NetworkPolicyPeer) (severity Severity, why string) {
	both := networkingv1.NetworkPolicyPeer{NamespaceSelector: namespaces.NamespaceSelector, PodSelector: pods.PodSelector}
	selector := selectorOf(namespaces.NamespaceSelector)
	switch {
	case selector != nil && matches(selector, c.namespaces[c.subject.namespace]) && c.defined(c.subject.namespace):
		return Warning, "; the first covers the second, which therefore adds nothing"
	case c.anyPod && len(c.podsOf(c.subject.namespace, pods)) == 0 && len(c.podsOf(c.subject.namespace, &both)) > 0:
		return Warning, fmt.Sprintf("; there is none of the latter, but %s has that label in such a namespace", list(c.podsOf(c.subject.namespace, &both)))
	case len(r.peers) == 2:
		return Warning, ""
	default:
		return Note, ""
	}
}

func (w *world) defined(namespace string) bool {
	_, ok := w.namespaces[namespace]
	return ok
}

func namespacesText(p *networkingv1.NetworkPolicyPeer) string {
	if len(p.NamespaceSelector.MatchLabels)+len(p.NamespaceSelector.MatchExpressions) == 0 {
		return "any label"
	}
	return selectorText(p.NamespaceSelector)
}

func onlyPods(p *networkingv1.NetworkPolicyPeer) bool {
	return p.PodSelector != nil && p.NamespaceSelector == nil && p.IPBlock == nil
}

func onlyNamespaces(p *networkingv1.NetworkPolicyPeer) bool {
	return p.NamespaceSelector != nil && p.PodSelector == nil && p.IPBlock == nil
}

// targets lists the pods whose ports a rule means, as far as they are known, each
// once.
func (c *check) targets(r *ruleOf) []*policy.Pod {
	if r.ingress {
		return c.subject.pods
	}
	if len(r.peers) == 0 {
		return c.everyPod()
	}
	var out []*policy.Pod
	seen := map[*policy.Pod]bool{}
	for i := range r.peers {
		p := &r.peers[i]
		var more []*policy.Pod
		switch {
		case p.IPBlock != nil:
			more = c.within(p.IPBlock)
		case p.PodSelector != nil || p.NamespaceSelector != nil:
			more = c.podsOf(c.subject.namespace, p)
		}
		for _, pod := range more {
			if !seen[pod] {
				seen[pod] = true
				out = append(out, pod)
			}
		}
	}
	return out
}

func (w *world) everyPod() []*policy.Pod {
	var out []*policy.Pod
	for _, namespace := range slices.Sorted(maps.Keys(w.pods)) {
		out = append(out, w.pods[namespace]...)
	}
	return out
}
