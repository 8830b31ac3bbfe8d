package cluster

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// traffic generates flows between the pods of a Realistic cluster.
type traffic struct {
	*Realistic
	random *rand.Rand
	locals []podRef
	// seen caches the result of each namespace selector: the indexes of the namespaces that the
	// selector matches.
	seen map[*metav1.LabelSelector][]int
}

type podRef struct{ deployment, index int }

// Flows returns n flows. Either the source or the destination of each flow is a pod of LocalNode.
// The `hitRatio` parameter is a number from 0 to 1. It is the share of the flows that match a rule
// of a policy that selects the pod. The other flows have random pods and ports, or come from
// outside the cluster. Most of these other flows are denied if the pod's namespace has a policy
// that denies by default.
func (r *Realistic) Flows(seed uint64, n int, hitRatio float64) []flow.Flow {
	t := &traffic{Realistic: r, random: rand.New(rand.NewPCG(seed, 2)), seen: map[*metav1.LabelSelector][]int{}}
	for d, dep := range r.deployments {
		for i := dep.first; i < dep.last; i++ {
			if r.isLocal(i) {
				t.locals = append(t.locals, podRef{d, i})
			}
		}
	}
	flows := make([]flow.Flow, 0, n)
	for len(flows) < n {
		local := t.locals[t.random.IntN(len(t.locals))]
		if t.random.Float64() < hitRatio {
			for range 16 { // Try several pods, because some pods have no rules and some rules match no peer.
				if f, ok := t.hit(local); ok {
					flows = append(flows, f)
					break
				}
				local = t.locals[t.random.IntN(len(t.locals))]
			}
			continue
		}
		flows = append(flows, t.miss(local))
	}
	return flows
}

func (t *traffic) hit(local podRef) (flow.Flow, bool) {
	teams := len(t.namespaces) - systemNamespaces
	ns := t.deployments[local.deployment].namespace
	if ns < systemNamespaces {
		return flow.Flow{}, false
	}
	var policies []*networkingv1.NetworkPolicy
	for i := ns - systemNamespaces; i < len(t.policies); i += teams {
		p := t.policies[i]
		if len(p.Spec.Ingress)+len(p.Spec.Egress) > 0 && t.selects(&p.Spec.PodSelector, local.deployment) {
			policies = append(policies, p)
		}
	}
	if len(policies) == 0 {
		return flow.Flow{}, false
	}
	policy := policies[t.random.IntN(len(policies))]
	if len(policy.Spec.Ingress) > 0 {
		rule := policy.Spec.Ingress[t.random.IntN(len(policy.Spec.Ingress))]
		return t.follow(local, rule.From, rule.Ports, true)
	}
	rule := policy.Spec.Egress[t.random.IntN(len(policy.Spec.Egress))]
	return t.follow(local, rule.To, rule.Ports, false)
}

// follow returns a flow of the local pod. The flow matches a rule with the given peers and
// ports.
func (t *traffic) follow(local podRef, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, ingress bool) (flow.Flow, bool) {
	peer := &peers[t.random.IntN(len(peers))]
	target := &t.deployments[local.deployment]
	var remote netip.Addr
	family := t.random.IntN(len(t.podAddresses(local.index)))
	if peer.IPBlock != nil {
		remote = t.inside(peer.IPBlock)
		if remote.Is6() {
			family = 1
		} else {
			family = 0
		}
	} else {
		ref, ok := t.matching(peer, local)
		if !ok {
			return flow.Flow{}, false
		}
		remote = t.podAddresses(ref.index)[family]
		if !ingress {
			target = &t.deployments[ref.deployment]
		}
	}
	f := flow.Flow{Src: remote, Dst: t.podAddresses(local.index)[family], Protocol: flow.TCP, SrcPort: t.ephemeral(), DstPort: 12345}
	if !ingress {
		f.Src, f.Dst = f.Dst, f.Src
	}
	if len(ports) > 0 {
		port := ports[t.random.IntN(len(ports))]
		if *port.Protocol == corev1.ProtocolUDP {
			f.Protocol = flow.UDP
		}
		number := port.Port.IntVal
		if port.Port.Type == intstr.String {
			number = portNamed(target.tier, port.Port.StrVal)
		} else if port.EndPort != nil {
			number += t.random.Int32N(*port.EndPort - number + 1)
		}
		f.DstPort = uint16(number)
	}
	return f, f.DstPort != 0
}

func (t *traffic) miss(local podRef) flow.Flow {
	addresses := t.podAddresses(local.index)
	family := t.random.IntN(len(addresses))
	remote := t.podAddresses(t.random.IntN(t.size.Pods))[family]
	if t.random.IntN(8) == 0 {
		remote = netip.AddrFrom4([4]byte{198, 51, 100, byte(t.random.IntN(256))})
		family = 0
	}
	f := flow.Flow{
		Src: remote, Dst: addresses[family], Protocol: flow.TCP, SrcPort: t.ephemeral(),
		DstPort: []uint16{22, 53, 80, 443, 5432, 6379, 8080, 8443, 9000, 9090, 10050}[t.random.IntN(11)],
	}
	if t.random.IntN(4) == 0 {
		f.Protocol = flow.UDP
	}
	if t.random.IntN(3) == 0 {
		f.Src, f.Dst = f.Dst, f.Src
	}
	return f
}

func (t *traffic) ephemeral() uint16 { return uint16(32768 + t.random.IntN(28232)) }

// The method `matching` returns a pod that the peer matches. If it finds no such pod, the second
// result is false.
func (t *traffic) matching(peer *networkingv1.NetworkPolicyPeer, local podRef) (podRef, bool) {
	namespaces := []int{t.deployments[local.deployment].namespace}
	if peer.NamespaceSelector != nil {
		namespaces = t.matchingNamespaces(peer.NamespaceSelector)
	}
	ns := t.namespaces[namespaces[t.random.IntN(len(namespaces))]]
	var found []int
	for d := ns.first; d < ns.last; d++ {
		if peer.PodSelector == nil || t.selects(peer.PodSelector, d) {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		return podRef{}, false
	}
	d := found[t.random.IntN(len(found))]
	dep := t.deployments[d]
	return podRef{d, dep.first + t.random.IntN(dep.last-dep.first)}, true
}

func (t *traffic) matchingNamespaces(selector *metav1.LabelSelector) []int {
	if list, ok := t.seen[selector]; ok {
		return list
	}
	var list []int
	for i, ns := range t.namespaces {
		if hasLabels(ns.labels, selector.MatchLabels) {
			list = append(list, i)
		}
	}
	t.seen[selector] = list
	return list
}

func (t *traffic) selects(selector *metav1.LabelSelector, d int) bool {
	dep := &t.deployments[d]
	for _, e := range selector.MatchExpressions {
		if !slices.Contains(e.Values, dep.tier) {
			return false
		}
	}
	return hasLabels(map[string]string{"app": dep.app, "tier": dep.tier}, selector.MatchLabels)
}

func hasLabels(labels, want map[string]string) bool {
	for key, value := range want {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// inside returns an address that is in the block, but in none of its excepts.
func (t *traffic) inside(block *networkingv1.IPBlock) netip.Addr {
	prefix := netip.MustParsePrefix(block.CIDR)
	for {
		bytes := prefix.Addr().AsSlice()
		for bit := prefix.Bits(); bit < prefix.Addr().BitLen(); bit++ {
			bytes[bit/8] |= byte(t.random.IntN(2)) << (7 - bit%8)
		}
		address, _ := netip.AddrFromSlice(bytes)
		if !slices.ContainsFunc(block.Except, func(text string) bool { return netip.MustParsePrefix(text).Contains(address) }) {
			return address
		}
	}
}

func portNamed(tier, name string) int32 {
	for _, port := range containerPorts(tier) {
		if port.Name == name {
			return port.ContainerPort
		}
	}
	return 0
}
