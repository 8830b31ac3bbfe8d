package policy

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// netpol is a NetworkPolicy worked out as far as it can be without pods. It is
// immutable but for its peers, which the snapshot replaces by shared ones.
type netpol struct {
	// serial tells states of one policy apart. Unique within a snapshot.
	serial   uint32
	object   *networkingv1.NetworkPolicy
	name     string
	subjects labels.Selector
	isolates [2]bool
	rules    [2][]policyRule
	problems []Problem
}

// policyRule is one rule of a policy for one direction.
type policyRule struct {
	// index is the rule's place in the policy's list. Broken rules have no
	// policyRule: they allow nothing.
	index int
	// everyPort: the rule lists no ports. Otherwise ports are those given by
	// number or by protocol alone, names those to be looked up.
	everyPort bool
	ports     []rule.Ports
	names     []portName
	// everyPeer: the rule lists no peers. Otherwise a peer is one of peers or
	// inside one of blocks.
	everyPeer bool
	peers     []*peer
	blocks    []rule.Block
	// named are, for egress, the peers of the rule once for each port name,
	// blocks among them: the target of a name is the peer.
	named []*peer
}

type portName struct {
	protocol uint8
	name     string
}

// readPolicy works a policy out. Whatever cannot be understood becomes a
// problem and fails closed: a broken rule allows nothing, a broken subject
// selector selects all that its readable requirements select.
func readPolicy(in *networkingv1.NetworkPolicy) *netpol {
	np := &netpol{object: in, name: orDefault(in.Namespace) + "/" + in.Name}
	r := reader{policy: np.name}
	np.subjects = r.selector("spec.podSelector", &in.Spec.PodSelector)
	np.isolates = r.policyTypes(&in.Spec)
	for i := range in.Spec.Ingress {
		rl := &in.Spec.Ingress[i]
		np.addRule(&r, rule.Ingress, i, rl.Ports, "from", rl.From)
	}
	for i := range in.Spec.Egress {
		rl := &in.Spec.Egress[i]
		np.addRule(&r, rule.Egress, i, rl.Ports, "to", rl.To)
	}
	np.problems = r.problems
	return np
}

// addRule reads one rule and keeps it unless it is broken.
func (np *netpol) addRule(r *reader, d rule.Direction, index int, ports []networkingv1.NetworkPolicyPort, peersField string, peers []networkingv1.NetworkPolicyPeer) {
	found := len(r.problems)
	out := policyRule{index: index, everyPort: len(ports) == 0, everyPeer: len(peers) == 0}
	at := ruleField(d, index)
	for i := range ports {
		r.port(&out, fieldIndex(at+".ports", i), &ports[i])
	}
	namespace := orDefault(np.object.Namespace)
	for i := range peers {
		r.peer(&out, namespace, fieldIndex(at+"."+peersField, i), &peers[i])
	}
	if len(r.problems) > found {
		return
	}
	if d == rule.Egress {
		out.lookUpAtPeers()
	}
	np.rules[d] = append(np.rules[d], out)
}

// lookUpAtPeers makes one peer of every pair of peer and port name.
func (pr *policyRule) lookUpAtPeers() {
	for _, n := range pr.names {
		for _, p := range pr.peers {
			pr.named = append(pr.named, p.named(n.protocol, n.name))
		}
		for i := range pr.blocks {
			pr.named = append(pr.named, peer{block: &pr.blocks[i]}.named(n.protocol, n.name))
		}
		if pr.everyPeer {
			pr.named = append(pr.named, peer{}.named(n.protocol, n.name))
		}
	}
	pr.names = nil
}

// eachPeer calls f for every place in the policy's rules that holds a peer.
func (np *netpol) eachPeer(f func(**peer)) {
	for d := range np.rules {
		for i := range np.rules[d] {
			np.rules[d][i].eachPeer(f)
		}
	}
}

func (pr *policyRule) eachPeer(f func(**peer)) {
	for i := range pr.peers {
		f(&pr.peers[i])
	}
	for i := range pr.named {
		f(&pr.named[i])
	}
}

// selects reports whether the policy's podSelector matches, in its namespace.
func (np *netpol) selects(c *cohort) bool { return np.subjects.Matches(c.key.labels) }

func (r *reader) policyTypes(spec *networkingv1.NetworkPolicySpec) (isolates [2]bool) {
	if len(spec.PolicyTypes) == 0 {
		isolates[rule.Ingress] = true
		isolates[rule.Egress] = len(spec.Egress) > 0
		return isolates
	}
	isolates[rule.Ingress] = slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeIngress)
	isolates[rule.Egress] = slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeEgress)
	for i, t := range spec.PolicyTypes {
		if t != networkingv1.PolicyTypeIngress && t != networkingv1.PolicyTypeEgress {
			r.problem(fieldIndex("spec.policyTypes", i), "%q: want Ingress or Egress; until then the policy isolates both directions", t)
			isolates = [2]bool{true, true}
		}
	}
	return isolates
}

// protocolOrTCP dereferences a protocol that defaults to TCP.
func protocolOrTCP(p *corev1.Protocol) corev1.Protocol {
	if p == nil {
		return corev1.ProtocolTCP
	}
	return *p
}
