package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/inventory"
)

// maxPorts is the maximum number of ports, apart from ping, that the demo tries if the user
// specifies no ports. The limit exists because the demo tries each port from every end to
// every other end.
const maxPorts = 8

// Port is a destination port to which the demo opens connections.
type Port struct {
	Protocol flow.Protocol
	Number   uint16
}

// Ping is the Port for echo requests. Echo requests between IPv4 addresses use ICMP, and echo
// requests between IPv6 addresses use ICMPv6.
var Ping = Port{Protocol: flow.ICMP}

const pingName = "ping"

// ParsePort parses a port in a form such as "80", "53/UDP", "3868/SCTP" or "ping".
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

// String returns a text such as "TCP 6379" or "ping".
func (p Port) String() string {
	if p == Ping {
		return pingName
	}
	return fmt.Sprintf("%s %d", p.Protocol, p.Number)
}

// PortsOf returns the ports that the demo tries if the user specifies no ports: the port
// numbers in policies, the first and last port of each port range, the ports of containers, and
// ping. The ports are sorted by protocol and number, and ping comes last. If policies and
// containers specify no ports, PortsOf returns TCP port 80 and ping. It also returns the number
// of ports that it omits because of maxPorts.
func PortsOf(set *inventory.Set) (ports []Port, left int) {
	found := map[Port]bool{}
	for _, in := range set.Policies {
		for _, r := range slices.Concat(in.Ingress, in.Egress) {
			for _, port := range r.Ports {
				if !port.EveryPort() {
					add(found, port.Protocol, port.First)
					add(found, port.Protocol, port.Last)
				}
			}
		}
	}
	for _, pod := range set.Pods {
		for _, p := range pod.Ports {
			add(found, p.Protocol, p.Number)
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
	ports = ports[:min(len(ports), maxPorts)]
	return append(ports, Ping), len(found) - len(ports)
}

func add(found map[Port]bool, protocol flow.Protocol, number uint16) {
	if protocol.HasPorts() && number > 0 {
		found[Port{Protocol: protocol, Number: number}] = true
	}
}

// Texts returns the text of each port, as Port.String formats it.
func Texts(ports []Port) []string {
	texts := make([]string, len(ports))
	for i, p := range ports {
		texts[i] = p.String()
	}
	return texts
}
