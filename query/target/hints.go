package target

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
)

// PortHints returns a hint for each Service that selects the pod and translates the given port to
// another port of the pod. If a Service leads to the given port of the pod, the result is empty.
func PortHints(set *inventory.Set, pod *policy.Pod, protocol string, port int) (hints []string) {
	for _, s := range set.Services {
		if !s.Selects(pod) || s.Headless {
			continue
		}
		for _, p := range s.Ports {
			to := p.TargetOf(pod)
			switch {
			case p.Protocol.String() != protocol:
			case int(to) == port:
				return nil
			case int(p.Number) == port && to != 0:
				hints = append(hints, fmt.Sprintf("Service %s translates its port %d to %s %d of this pod, and policies are evaluated for the port of the pod. --to svc/%s -n %s explains connections to the Service.",
					s, p.Number, p.Protocol, to, s.Name, s.Namespace))
			}
		}
	}
	return hints
}

// NodePortHints returns a hint for each Service with the given node port, if one of the addresses is
// an address of a node.
func NodePortHints(set *inventory.Set, addresses []netip.Addr, protocol flow.Protocol, port string) (hints []string) {
	ofNode := func(a netip.Addr) bool {
		return slices.ContainsFunc(set.Nodes, func(n inventory.Node) bool { return slices.Contains(n.Addresses, a) })
	}
	if !slices.ContainsFunc(addresses, ofNode) {
		return nil
	}
	for _, s := range set.Services {
		for _, p := range s.Ports {
			if p.NodePort != 0 && p.Protocol == protocol && fmt.Sprint(p.NodePort) == port {
				hints = append(hints, fmt.Sprintf("%s %d is the node port of Service %s: nodes translate it to a port of the Service's pods, and the ingress policies of the pods are evaluated for that port. --to svc/%s -n %s --port %d explains connections to the pods.",
					protocol, p.NodePort, s, s.Name, s.Namespace, p.Number))
			}
		}
	}
	return hints
}
