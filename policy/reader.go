package policy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	netutils "k8s.io/utils/net"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// Problem is a part of a policy that cannot be understood. The rule that holds
// it allows nothing; the rest of the policy works.
type Problem struct {
	// Policy is "namespace/name".
	Policy string
	// Field is the path of the fault, such as spec.ingress[0].from[1].ipBlock.cidr.
	Field string
	// Message says what is wrong and what to write instead.
	Message string
}

// String gives the problem in one line.
func (p Problem) String() string { return p.Policy + ": " + p.Field + ": " + p.Message }

// reader collects the problems met while a policy is read.
type reader struct {
	policy   string
	problems []Problem
}

func (r *reader) problem(field, format string, args ...any) {
	r.problems = append(r.problems, Problem{Policy: r.policy, Field: field, Message: fmt.Sprintf(format, args...)})
}

func fieldIndex(field string, i int) string { return fmt.Sprintf("%s[%d]", field, i) }

func ruleField(d rule.Direction, index int) string { return fieldIndex("spec."+d.String(), index) }

// selector reads a selector; requirements that cannot be read become problems
// and are left out.
func (r *reader) selector(field string, in *metav1.LabelSelector) labels.Selector {
	var reqs labels.Requirements
	add := func(at, key string, op selection.Operator, values []string) {
		req, err := labels.NewRequirement(key, op, values)
		if err != nil {
			r.problem(at, "%v", err)
			return
		}
		reqs = append(reqs, *req)
	}
	for _, key := range slices.Sorted(maps.Keys(in.MatchLabels)) {
		add(field+".matchLabels["+key+"]", key, selection.Equals, []string{in.MatchLabels[key]})
	}
	for i, e := range in.MatchExpressions {
		at := fieldIndex(field+".matchExpressions", i)
		switch e.Operator {
		case metav1.LabelSelectorOpIn:
			add(at, e.Key, selection.In, e.Values)
		case metav1.LabelSelectorOpNotIn:
			add(at, e.Key, selection.NotIn, e.Values)
		case metav1.LabelSelectorOpExists:
			add(at, e.Key, selection.Exists, e.Values)
		case metav1.LabelSelectorOpDoesNotExist:
			add(at, e.Key, selection.DoesNotExist, e.Values)
		default:
			r.problem(at+".operator", "%q: want In, NotIn, Exists or DoesNotExist", e.Operator)
		}
	}
	if len(reqs) == 0 {
		return labels.Everything()
	}
	return labels.NewSelector().Add(reqs...)
}

// port reads one entry of a rule's ports into the rule.
func (r *reader) port(out *policyRule, field string, in *networkingv1.NetworkPolicyPort) {
	protocol, ok := protocolOf(protocolOrTCP(in.Protocol))
	if !ok {
		r.problem(field+".protocol", "%q: want TCP, UDP or SCTP; a rule without ports allows every protocol", *in.Protocol)
		return
	}
	switch {
	case in.Port == nil && in.EndPort != nil:
		r.problem(field+".endPort", "%d without a port: give port, the first of the range", *in.EndPort)
	case in.Port == nil:
		out.ports = append(out.ports, rule.Ports{Protocol: protocol, First: 0, Last: 65535})
	case in.Port.Type == intstr.String:
		r.portName(out, field, protocol, in)
	default:
		r.portNumber(out, field, protocol, in)
	}
}

func (r *reader) portName(out *policyRule, field string, protocol uint8, in *networkingv1.NetworkPolicyPort) {
	if in.EndPort != nil {
		r.problem(field+".endPort", "%d with the port name %q: a range needs a port number", *in.EndPort, in.Port.StrVal)
		return
	}
	if faults := validation.IsValidPortName(in.Port.StrVal); len(faults) > 0 {
		r.problem(field+".port", "%q is no port name: %s", in.Port.StrVal, strings.Join(faults, "; "))
		return
	}
	out.names = append(out.names, portName{protocol: protocol, name: in.Port.StrVal})
}

func (r *reader) portNumber(out *policyRule, field string, protocol uint8, in *networkingv1.NetworkPolicyPort) {
	first, last := in.Port.IntVal, in.Port.IntVal
	if first < 1 || first > 65535 {
		r.problem(field+".port", "%d is not a port: want 1 to 65535", first)
		return
	}
	if in.EndPort != nil {
		last = *in.EndPort
	}
	if last < first || last > 65535 {
		r.problem(field+".endPort", "%d: want %d (the port) to 65535", last, first)
		return
	}
	out.ports = append(out.ports, rule.Ports{Protocol: protocol, First: uint16(first), Last: uint16(last)})
}

// peer reads one entry of a rule's from or to into the rule.
func (r *reader) peer(out *policyRule, namespace, field string, in *networkingv1.NetworkPolicyPeer) {
	switch {
	case in.IPBlock != nil && (in.PodSelector != nil || in.NamespaceSelector != nil):
		r.problem(field, "ipBlock stands with a selector: give each an entry of its own")
	case in.IPBlock != nil:
		if b, ok := r.block(field+".ipBlock", in.IPBlock); ok {
			out.blocks = append(out.blocks, b)
		}
	case in.NamespaceSelector == nil && in.PodSelector == nil:
		r.problem(field, "names no peer: give podSelector, namespaceSelector or ipBlock, or leave the list empty to mean everybody")
	default:
		var p peer
		if in.NamespaceSelector != nil {
			p.namespaces = r.selector(field+".namespaceSelector", in.NamespaceSelector)
		} else {
			p.namespace = namespace
		}
		if in.PodSelector != nil {
			p.pods = r.selector(field+".podSelector", in.PodSelector)
		}
		if p.pods != nil && p.pods.Empty() {
			p.pods = nil
		}
		out.peers = append(out.peers, p.keyed())
	}
}

func (r *reader) block(field string, in *networkingv1.IPBlock) (rule.Block, bool) {
	prefix, err := ParseCIDR(in.CIDR)
	if err != nil {
		r.problem(field+".cidr", "%v", err)
		return rule.Block{}, false
	}
	b := rule.Block{Prefix: prefix}
	ok := true
	for i, s := range in.Except {
		at := fieldIndex(field+".except", i)
		except, err := ParseCIDR(s)
		switch {
		case err != nil:
			r.problem(at, "%v", err)
			ok = false
		case !prefix.Contains(except.Addr()) || except.Bits() < prefix.Bits():
			r.problem(at, "%s is not inside the cidr %s", s, in.CIDR)
			ok = false
		default:
			b.Excepts = append(b.Excepts, except)
		}
	}
	return b, ok
}

// ParseCIDR reads the CIDR of a policy and masks it. Host bits and leading zeros
// are let pass: API servers used to take them and still keep them where they
// were stored. An IPv4-mapped prefix is refused, for it would match nothing.
func ParseCIDR(s string) (netip.Prefix, error) {
	ip, ipnet, err := netutils.ParseCIDRSloppy(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no CIDR: write an address, a slash and a length, such as 10.0.0.0/8", s)
	}
	if ip.To4() != nil && strings.Contains(s, ":") {
		return netip.Prefix{}, fmt.Errorf("%q is an IPv4-mapped CIDR: write it as IPv4", s)
	}
	addr, _ := netip.AddrFromSlice(ipnet.IP)
	bits, _ := ipnet.Mask.Size()
	return netip.PrefixFrom(addr, bits), nil
}
