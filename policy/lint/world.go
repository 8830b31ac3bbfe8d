package lint

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluicenet/sluice/policy"
)

// world is the snapshot, indexed for the questions that checks ask.
type world struct {
	// pods are the pods that policies can see or would if they had an address:
	// not of the host network, not finished.
	pods map[string][]*policy.Pod
	// hostPods counts pods of the host network by namespace.
	hostPods   map[string][]*policy.Pod
	namespaces map[string]policy.Labels
	policies   []*subject
	// byNamespace holds the policies once more.
	byNamespace map[string][]*subject
	addresses   []podAddress
	anyPod      bool
	dnsPods     []*policy.Pod
	// inBlock remembers within.
	inBlock  map[string][]*policy.Pod
	findings []Finding
}

type podAddress struct {
	addr netip.Addr
	pod  *policy.Pod
}

// subject is a policy with what it selects.
type subject struct {
	object          *networkingv1.NetworkPolicy
	namespace, name string
	selector        labels.Selector
	pods            []*policy.Pod
	ingress, egress bool
	rules           []ruleOf
	// dns remembers allowsDNS.
	dns answer
}

// answer is yes or no, once it is known.
type answer uint8

const (
	unknown answer = iota
	no
	yes
)

// ruleOf is one rule of either direction.
type ruleOf struct {
	ingress bool
	// field is the rule's path, peersField that of its from or to.
	field, peersField string
	index             int
	peers             []networkingv1.NetworkPolicyPeer
	ports             []networkingv1.NetworkPolicyPort
}

func newWorld(s *policy.Snapshot) *world {
	w := &world{
		pods: map[string][]*policy.Pod{}, hostPods: map[string][]*policy.Pod{},
		namespaces: map[string]policy.Labels{}, byNamespace: map[string][]*subject{}, inBlock: map[string][]*policy.Pod{},
	}
	for _, n := range s.Namespaces() {
		w.namespaces[n.Name] = n.Labels
	}
	for _, p := range s.Pods() {
		w.addPod(&p)
	}
	slices.SortFunc(w.addresses, func(a, b podAddress) int { return a.addr.Compare(b.addr) })
	for _, p := range s.Policies() {
		s := w.newSubject(p)
		w.policies = append(w.policies, s)
		w.byNamespace[s.namespace] = append(w.byNamespace[s.namespace], s)
	}
	return w
}

func (w *world) addPod(p *policy.Pod) {
	w.anyPod = true
	switch {
	case p.Finished:
		return
	case p.HostNetwork:
		w.hostPods[p.Namespace] = append(w.hostPods[p.Namespace], p)
		return
	}
	w.pods[p.Namespace] = append(w.pods[p.Namespace], p)
	for _, a := range p.Addresses {
		w.addresses = append(w.addresses, podAddress{addr: a, pod: p})
	}
	if isDNS(p) {
		w.dnsPods = append(w.dnsPods, p)
	}
}

func (w *world) newSubject(p *networkingv1.NetworkPolicy) *subject {
	namespace := p.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	s := &subject{object: p, namespace: namespace, name: namespace + "/" + p.Name, selector: selectorOf(&p.Spec.PodSelector)}
	for _, pod := range w.pods[namespace] {
		if matches(s.selector, pod.Labels) {
			s.pods = append(s.pods, pod)
		}
	}
	s.ingress = len(p.Spec.PolicyTypes) == 0 || slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
	s.egress = len(p.Spec.PolicyTypes) == 0 && len(p.Spec.Egress) > 0 || slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	for i, r := range p.Spec.Ingress {
		field := fmt.Sprintf("spec.ingress[%d]", i)
		s.rules = append(s.rules, ruleOf{ingress: true, field: field, peersField: field + ".from", index: i, peers: r.From, ports: r.Ports})
	}
	for i, r := range p.Spec.Egress {
		field := fmt.Sprintf("spec.egress[%d]", i)
		s.rules = append(s.rules, ruleOf{field: field, peersField: field + ".to", index: i, peers: r.To, ports: r.Ports})
	}
	return s
}

// selectorOf gives nil for a selector that cannot be understood: it is
// reported as a problem, and nothing else is said about it.
func selectorOf(s *metav1.LabelSelector) labels.Selector {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil
	}
	return selector
}

func matches(s labels.Selector, set policy.Labels) bool { return s != nil && s.Matches(set) }

// namespacesOf lists the namespaces that a peer looks in, among those that
// have a Namespace object or, for the policy's own, whether it has or not.
func (w *world) namespacesOf(own string, p *networkingv1.NetworkPolicyPeer) []string {
	if p.NamespaceSelector == nil {
		return []string{own}
	}
	selector := selectorOf(p.NamespaceSelector)
	var out []string
	for _, name := range slices.Sorted(maps.Keys(w.namespaces)) {
		if matches(selector, w.namespaces[name]) {
			out = append(out, name)
		}
	}
	return out
}

// podsOf lists the pods that a peer with selectors matches.
func (w *world) podsOf(own string, p *networkingv1.NetworkPolicyPeer) []*policy.Pod {
	selector := labels.Everything()
	if p.PodSelector != nil {
		selector = selectorOf(p.PodSelector)
	}
	var out []*policy.Pod
	for _, namespace := range w.namespacesOf(own, p) {
		for _, pod := range w.pods[namespace] {
			if matches(selector, pod.Labels) {
				out = append(out, pod)
			}
		}
	}
	return out
}

// within lists the pods with an address in the block, each once. Policies repeat
// few blocks many times, so answers are kept.
func (w *world) within(b *networkingv1.IPBlock) []*policy.Pod {
	key := b.CIDR + " " + strings.Join(b.Except, " ")
	pods, known := w.inBlock[key]
	if !known {
		pods = w.search(b)
		w.inBlock[key] = pods
	}
	return pods
}

func (w *world) search(b *networkingv1.IPBlock) []*policy.Pod {
	cidr, excepts, ok := prefixes(b)
	if !ok {
		return nil
	}
	first, _ := slices.BinarySearchFunc(w.addresses, cidr.Addr(), func(a podAddress, target netip.Addr) int { return a.addr.Compare(target) })
	seen := map[*policy.Pod]bool{}
	var out []*policy.Pod
	for _, a := range w.addresses[first:] {
		if !cidr.Contains(a.addr) {
			break
		}
		if !seen[a.pod] && !slices.ContainsFunc(excepts, func(e netip.Prefix) bool { return e.Contains(a.addr) }) {
			seen[a.pod] = true
			out = append(out, a.pod)
		}
	}
	return out
}

// prefixes reads a block; ok is false when any part of it cannot be read.
func prefixes(b *networkingv1.IPBlock) (cidr netip.Prefix, excepts []netip.Prefix, ok bool) {
	cidr, err := policy.ParseCIDR(b.CIDR)
	if err != nil {
		return netip.Prefix{}, nil, false
	}
	for _, text := range b.Except {
		except, err := policy.ParseCIDR(text)
		if err != nil {
			return netip.Prefix{}, nil, false
		}
		excepts = append(excepts, except)
	}
	return cidr, excepts, true
}

// selectorText writes a selector as kubectl does: app=web,tier in (a,b).
func selectorText(s *metav1.LabelSelector) string { return metav1.FormatLabelSelector(s) }

// list names a few pods.
func list(pods []*policy.Pod) string {
	const shown = 3
	names := make([]string, 0, shown)
	for _, p := range pods[:min(len(pods), shown)] {
		names = append(names, p.Namespace+"/"+p.Name)
	}
	if len(pods) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), len(pods)-shown)
	}
	return strings.Join(names, ", ")
}
