package demo

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/inventory"
)

// mostPorts bounds the ports that are tried unless the caller names them: each
// is a connection from everybody to everybody.
const mostPorts = 8

// Ping is the "port" of ICMP echoes, and of ICMPv6 where both ends have IPv6.
var Ping = Port{Protocol: flow.ICMP}

// pingName is what people call it.
const pingName = "ping"

// ParsePort reads "80", "53/UDP", "3868/SCTP" or "ping".
func ParsePort(s string) (Port, error) {
	if strings.EqualFold(s, pingName) {
		return Ping, nil
	}
	number, protocol, named := strings.Cut(s, "/")
	p := Port{Protocol: flow.TCP}
	if named {
		var err error
		if p.Protocol, err = flow.ParseProtocol(protocol); err != nil || !p.Protocol.HasPorts() {
			return Port{}, fmt.Errorf("port %q: want a number, number/TCP, number/UDP, number/SCTP or ping", s)
		}
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil || n == 0 {
		return Port{}, fmt.Errorf("port %q: want a number from 1 to 65535, such as 80 or 53/UDP, or ping", s)
	}
	p.Number = uint16(n)
	return p, nil
}

// String writes the port as people do: "TCP 6379".
func (p Port) String() string {
	if p == Ping {
		return pingName
	}
	return fmt.Sprintf("%s %d", p.Protocol, p.Number)
}

// portsOf gives the ports that policies name by number, both ends of their
// ranges, and the named ports of containers, in order, and ping; and how many it
// left out, beyond mostPorts.
func portsOf(set *inventory.Set) (ports []Port, left int) {
	found := map[Port]bool{}
	for _, np := range set.Policies {
		eachPort(np.NetworkPolicy, func(in *networkingv1.NetworkPolicyPort) {
			if in.Port == nil || in.Port.Type != intstr.Int {
				return
			}
			protocol := protocolOf(in.Protocol)
			add(found, protocol, in.Port.IntVal)
			if in.EndPort != nil {
				add(found, protocol, *in.EndPort)
			}
		})
	}
	for _, pod := range set.Pods {
		for _, p := range pod.Ports {
			add(found, flow.Protocol(p.Protocol), int32(p.Number))
		}
	}
	if len(found) == 0 {
		return []Port{{Protocol: flow.TCP, Number: 80}, Ping}, 0
	}
	for p := range found {
		ports = append(ports, p)
	}
	slices.SortFunc(ports, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
	})
	ports = ports[:min(len(ports), mostPorts)]
	return append(ports, Ping), len(found) - len(ports)
}

func add(found map[Port]bool, protocol flow.Protocol, number int32) {
	if protocol.HasPorts() && number > 0 && number <= 65535 {
		found[Port{Protocol: protocol, Number: uint16(number)}] = true
	}
}

func eachPort(np *networkingv1.NetworkPolicy, visit func(*networkingv1.NetworkPolicyPort)) {
	for i := range np.Spec.Ingress {
		for j := range np.Spec.Ingress[i].Ports {
			visit(&np.Spec.Ingress[i].Ports[j])
		}
	}
	for i := range np.Spec.Egress {
		for j := range np.Spec.Egress[i].Ports {
			visit(&np.Spec.Egress[i].Ports[j])
		}
	}
}

// protocolOf reads a policy's protocol. One that cannot be understood makes its
// rule void and names no port.
func protocolOf(p *corev1.Protocol) flow.Protocol {
	if p == nil {
		return flow.TCP
	}
	protocol, err := flow.ParseProtocol(string(*p))
	if err != nil {
		return 0
	}
	return protocol
}
