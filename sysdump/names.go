package sysdump

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// names replaces names consistently: the same name has the same replacement in all files. A nil
// *names replaces nothing.
type names struct {
	replacement map[string]string
	count       map[string]int
}

// word matches the words of a text that can be names.
var word = regexp.MustCompile(`[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?`)

// inText replaces the names in a text.
func (n *names) inText(text string) string {
	if n == nil {
		return text
	}
	if whole, found := n.replacement[text]; found {
		return whole
	}
	return word.ReplaceAllStringFunc(text, func(w string) string {
		if r, found := n.replacement[w]; found {
			return r
		}
		return w
	})
}

// labelMaps lists the fields that are maps with label keys.
var labelMaps = []string{"labels", "matchLabels", "nodeSelector"}

// constants lists the fields whose values are constants of an API, such as kinds, and not
// names.
var constants = []string{"kind", "apiVersion", "type", "reason", "phase", "protocol", "operator", "result", "severity", "policyTypes", "uid", "check", "tier", "action", "served"}

// inTree replaces the names in the values of a parsed JSON document.
func (n *names) inTree(tree any) any {
	if n == nil {
		return tree
	}
	switch t := tree.(type) {
	case string:
		return n.inText(t)
	case []any:
		for i := range t {
			t[i] = n.inTree(t[i])
		}
	case map[string]any:
		for key, value := range t {
			switch {
			case slices.Contains(constants, key):
			case slices.Contains(labelMaps, key):
				t[key] = n.inLabels(value)
			default:
				t[key] = n.inTree(value)
			}
		}
	}
	return tree
}

// inLabels replaces keys and values of labels.
func (n *names) inLabels(labels any) any {
	m, isMap := labels.(map[string]any)
	if !isMap {
		return n.inTree(labels)
	}
	out := map[string]any{}
	for key, value := range m {
		out[n.inText(key)] = n.inTree(value)
	}
	return out
}

// add adds a name of a kind, such as "pod", unless the name already has a replacement.
func (n *names) add(kind, name string) {
	if _, found := n.replacement[name]; found || name == "" {
		return
	}
	n.count[kind]++
	n.replacement[name] = fmt.Sprintf("%s-%d", kind, n.count[kind])
}

// findNames returns the names of all objects and labels in the dump. It leaves out the
// namespaces that every cluster has, and the objects of Sluice.
func (d *dump) findNames() *names {
	n := &names{replacement: map[string]string{}, count: map[string]int{}}
	usual := []string{d.o.Namespace, metav1.NamespaceDefault, "kube-system", "kube-public", "kube-node-lease"}
	for i := range d.namespaces {
		if name := d.namespaces[i].Name; !slices.Contains(usual, name) {
			n.add("namespace", name)
			n.addLabels(d.namespaces[i].Labels)
		}
	}
	for i := range d.facts.Nodes.Value {
		n.add("node", d.facts.Nodes.Value[i].Name)
	}
	for i := range d.facts.Nodes.Value {
		n.addLabels(d.facts.Nodes.Value[i].Labels)
	}
	for i := range d.pods {
		p := &d.pods[i]
		if p.Namespace == d.o.Namespace {
			continue
		}
		if !slices.Contains(usual, p.Namespace) {
			n.add("namespace", p.Namespace)
		}
		n.add("pod", p.Name)
		n.add("node", p.Spec.NodeName)
		for _, owner := range p.OwnerReferences {
			n.add("workload", owner.Name)
		}
		n.addLabels(p.Labels)
	}
	for i := range d.reports.Nodes {
		n.add("node", d.reports.Nodes[i].Name)
	}
	for i := range d.policies {
		p := &d.policies[i]
		if !slices.Contains(usual, p.Namespace) {
			n.add("namespace", p.Namespace)
		}
		n.add("policy", p.Name)
		n.addLabels(p.Labels)
		n.addSelector(&p.Spec.PodSelector)
		for _, rule := range p.Spec.Ingress {
			for _, peer := range rule.From {
				n.addSelector(peer.PodSelector)
				n.addSelector(peer.NamespaceSelector)
			}
		}
		for _, rule := range p.Spec.Egress {
			for _, peer := range rule.To {
				n.addSelector(peer.PodSelector)
				n.addSelector(peer.NamespaceSelector)
			}
		}
	}
	for i := range d.tiers {
		n.add("policy", d.tiers[i].GetName())
		n.addLabels(d.tiers[i].GetLabels())
		n.addTier(d.tiers[i].Object["spec"])
	}
	return n
}

// addTier finds names in a part of a ClusterNetworkPolicy. It adds the labels in selectors, the
// names of rules, and the domain names.
func (n *names) addTier(part any) {
	switch part := part.(type) {
	case []any:
		for _, p := range part {
			n.addTier(p)
		}
	case map[string]any:
		var selector metav1.LabelSelector
		if runtime.DefaultUnstructuredConverter.FromUnstructured(part, &selector) == nil {
			n.addSelector(&selector)
		}
		if name, isText := part["name"].(string); isText {
			n.add("rule", name)
		}
		domains, _, _ := unstructured.NestedStringSlice(part, "domainNames")
		for _, domain := range domains {
			n.add("domain", domain)
		}
		for _, key := range slices.Sorted(maps.Keys(part)) {
			n.addTier(part[key])
		}
	}
}

func (n *names) addSelector(s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	n.addLabels(s.MatchLabels)
	for _, e := range s.MatchExpressions {
		for _, value := range append(slices.Clone(e.Values), "") {
			n.addLabels(map[string]string{e.Key: value})
		}
	}
}

// addLabels adds the keys and the values of labels. It leaves out keys that Kubernetes defines,
// and values such as "true" or the operating system, which do not identify anything.
func (n *names) addLabels(labels map[string]string) {
	keys := make([]string, 0, len(labels))
	for key := range labels {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		domain, _, hasDomain := strings.Cut(key, "/")
		ofKubernetes := hasDomain && (domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") || strings.HasSuffix(domain, ".k8s.io"))
		if !ofKubernetes {
			n.add("key", key)
		}
		if value := labels[key]; value != "true" && value != "false" && key != "kubernetes.io/os" && key != "kubernetes.io/arch" {
			n.add("value", value)
		}
	}
}
