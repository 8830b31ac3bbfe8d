package read

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	netutils "k8s.io/utils/net"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/internal/field"
)

// NetworkPolicy converts a NetworkPolicy to a Policy, and fills in the same defaults as the
// API server. It returns a Policy even if it returns errors, which are also in Policy.Errors.
// If a part of the object cannot be understood, the policy fails closed:
//
//   - A rule with such a part is invalid and allows nothing.
//   - A requirement in spec.podSelector with such a part is omitted, so the policy isolates
//     every pod that meets the other requirements.
//   - An unknown policy type isolates the pods for both directions.
func NetworkPolicy(in *networkingv1.NetworkPolicy) (*policy.Policy, policy.FieldErrors) {
	scope := cmp.Or(in.Namespace, corev1.NamespaceDefault)
	r := networkPolicyReader{scope: scope}
	subject, _ := r.selector(field.Path{Parent: "spec"}.Child("podSelector"), &in.Spec.PodSelector)
	out := &policy.Policy{
		Name: in.Name, Scope: scope, UID: string(in.UID), Generation: in.Generation, Tier: rule.NetworkPolicyTier,
		Subject:  policy.PodSet{Namespace: scope, Pods: subject},
		Isolates: r.policyTypes(&in.Spec),
	}
	for i := range in.Spec.Ingress {
		in := &in.Spec.Ingress[i]
		out.Ingress = append(out.Ingress, r.rule(rule.Ingress, i, "from", in.From, in.Ports))
	}
	for i := range in.Spec.Egress {
		in := &in.Spec.Egress[i]
		out.Egress = append(out.Egress, r.rule(rule.Egress, i, "to", in.To, in.Ports))
	}
	out.Ingress, out.Egress = slices.Clip(out.Ingress), slices.Clip(out.Egress)
	out.Errors = r.errors
	return out, out.Errors
}

// networkPolicyReader reads the parts of one NetworkPolicy.
type networkPolicyReader struct {
	reader
	scope string
}

// policyTypes reports for each direction whether the policy isolates pods. If
// spec.policyTypes is not set, the policy isolates pods for ingress. If it also has egress
// rules, it isolates pods for egress too.
func (r *networkPolicyReader) policyTypes(spec *networkingv1.NetworkPolicySpec) (isolates [2]bool) {
	if len(spec.PolicyTypes) == 0 {
		return [2]bool{rule.Ingress: true, rule.Egress: len(spec.Egress) > 0}
	}
	for i, t := range spec.PolicyTypes {
		switch t {
		case networkingv1.PolicyTypeIngress:
			isolates[rule.Ingress] = true
		case networkingv1.PolicyTypeEgress:
			isolates[rule.Egress] = true
		default:
			r.errors.Add(fmt.Sprintf("spec.policyTypes[%d]", i), "%q: want Ingress or Egress; until it is fixed, the policy isolates both directions", t)
			isolates = [2]bool{true, true}
		}
	}
	return isolates
}

func (r *networkPolicyReader) rule(d rule.Direction, index int, list string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) policy.Rule {
	out := policy.Rule{Tier: rule.NetworkPolicyTier, Direction: d, Action: rule.ActionAccept, Field: ruleField(d, index)}
	if len(ports) > 0 {
		out.Ports = make([]policy.Port, len(ports))
	}
	for i := range ports {
		out.Ports[i] = r.port(field.Path{Parent: out.Field, List: "ports", Index: i}, &ports[i])
		out.Invalid = out.Invalid || out.Ports[i] == (policy.Port{})
		out.Ports[i].Entry = i
	}
	if len(peers) > 0 {
		out.Peers = make([]policy.Peer, len(peers))
	}
	for i := range peers {
		out.Peers[i] = r.peer(field.Path{Parent: out.Field, List: list, Index: i}, &peers[i])
		out.Invalid = out.Invalid || out.Peers[i].Invalid
		out.Peers[i].Entry = i
	}
	return out
}

// port reads an entry of the list `ports` of a rule. If the entry cannot be understood, port
// returns the zero value.
func (r *networkPolicyReader) port(at field.Path, in *networkingv1.NetworkPolicyPort) policy.Port {
	protocol := flow.TCP
	if in.Protocol != nil {
		var ok bool
		if protocol, ok = policy.ProtocolOf(*in.Protocol); !ok {
			r.errors.Add(at.Child("protocol").String(), "%s", protocolFault(*in.Protocol))
			return policy.Port{}
		}
	}
	switch {
	case in.Port == nil && in.EndPort != nil:
		r.errors.Add(at.Child("endPort").String(), "%d without a port: set port to the first port of the range", *in.EndPort)
		return policy.Port{}
	case in.Port == nil:
		return policy.Port{Protocol: protocol, First: 0, Last: 65535}
	case in.Port.Type == intstr.String:
		return r.portName(at, protocol, in)
	default:
		return r.portNumber(at, protocol, in)
	}
}

func (r *networkPolicyReader) portName(at field.Path, protocol flow.Protocol, in *networkingv1.NetworkPolicyPort) policy.Port {
	if in.EndPort != nil {
		r.errors.Add(at.Child("endPort").String(), "%d with the port name %q: a range needs a port number", *in.EndPort, in.Port.StrVal)
		return policy.Port{}
	}
	if faults := validation.IsValidPortName(in.Port.StrVal); len(faults) > 0 {
		r.errors.Add(at.Child("port").String(), "%s", portNameFault(in.Port.StrVal, faults))
		return policy.Port{}
	}
	return policy.Port{Protocol: protocol, Name: in.Port.StrVal}
}

func (r *networkPolicyReader) portNumber(at field.Path, protocol flow.Protocol, in *networkingv1.NetworkPolicyPort) policy.Port {
	first, last := in.Port.IntVal, in.Port.IntVal
	if first < 1 || first > 65535 {
		r.errors.Add(at.Child("port").String(), "%d is not a port: want 1 to 65535", first)
		return policy.Port{}
	}
	if in.EndPort != nil {
		last = *in.EndPort
	}
	if last < first || last > 65535 {
		r.errors.Add(at.Child("endPort").String(), "%d: want %d (the port) to 65535", last, first)
		return policy.Port{}
	}
	return policy.Port{Protocol: protocol, First: uint16(first), Last: uint16(last)}
}

// peer reads an entry of the list `from` or `to` of a rule.
func (r *networkPolicyReader) peer(at field.Path, in *networkingv1.NetworkPolicyPeer) policy.Peer {
	switch {
	case in.IPBlock != nil && (in.PodSelector != nil || in.NamespaceSelector != nil):
		r.errors.Add(at.String(), "ipBlock and a selector are in one entry: write two entries")
		return policy.Peer{Invalid: true}
	case in.IPBlock != nil:
		block, valid := r.block(at.Child("ipBlock"), in.IPBlock)
		return policy.Peer{Block: block, Invalid: !valid}
	case in.NamespaceSelector == nil && in.PodSelector == nil:
		r.errors.Add(at.String(), "the entry is empty: set podSelector, namespaceSelector or ipBlock, or leave out the list to match every peer")
		return policy.Peer{Invalid: true}
	}
	var out policy.Peer
	namespacesValid, podsValid := true, true
	if in.NamespaceSelector != nil {
		out.Namespaces, namespacesValid = r.selector(at.Child("namespaceSelector"), in.NamespaceSelector)
	} else {
		out.Namespace = r.scope
	}
	if in.PodSelector != nil {
		out.Pods, podsValid = r.selector(at.Child("podSelector"), in.PodSelector)
	}
	out.Invalid = !namespacesValid || !podsValid
	return out
}

// block reads an ipBlock. It skips excepts that cannot be understood. If it skipped at least
// one except, or if the CIDR cannot be understood, valid is false.
func (r *networkPolicyReader) block(at field.Path, in *networkingv1.IPBlock) (out *policy.Block, valid bool) {
	prefix, err := parseCIDR(in.CIDR)
	if err != nil {
		r.errors.Add(at.Child("cidr").String(), "%v", err)
		return nil, false
	}
	out, valid = &policy.Block{CIDR: policy.CIDR{Prefix: prefix, Text: in.CIDR}}, true
	for i, text := range in.Except {
		except, err := parseCIDR(text)
		switch {
		case err != nil:
			r.errors.Add(at.Child(fmt.Sprintf("except[%d]", i)).String(), "%v", err)
			valid = false
		case !prefix.Contains(except.Addr()) || except.Bits() < prefix.Bits():
			r.errors.Add(at.Child(fmt.Sprintf("except[%d]", i)).String(), "%s is not inside the cidr %s", text, in.CIDR)
			valid = false
		default:
			out.Except = append(out.Except, policy.CIDR{Prefix: except, Text: text})
		}
	}
	return out, valid
}

// parseCIDR parses a CIDR in a policy and clears the host bits. It allows host bits and
// leading zeros because earlier API servers accepted them, so stored objects may still
// contain them. It returns an error for an IPv4-mapped prefix, because such a prefix would
// not match any address.
func parseCIDR(s string) (netip.Prefix, error) {
	ip, ipnet, err := netutils.ParseCIDRSloppy(s)
	if err != nil {
		return netip.Prefix{}, cidrFault(s)
	}
	if ip.To4() != nil && strings.Contains(s, ":") {
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4-mapped CIDR: write it as IPv4", s)
	}
	addr, _ := netip.AddrFromSlice(ipnet.IP)
	bits, _ := ipnet.Mask.Size()
	return netip.PrefixFrom(addr, bits), nil
}
