// Package dns recognizes DNS servers and DNS ports in policies.
package dns

import (
	"net/netip"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

const (
	port = 53
	// ServicePort is the port of the DNS Service.
	ServicePort = port
	// coreDNSPort is the port on which CoreDNS listens in some distributions. The DNS Service
	// of these distributions maps port 53 to this port.
	coreDNSPort = 5353
	// Namespace is the namespace of the DNS server in most clusters.
	Namespace = "kube-system"
)

// NodeLocal is the address on which the DNS cache of each node listens, if the cluster uses NodeLocal
// DNSCache. The address belongs to the node, so no selector matches it.
var NodeLocal = netip.AddrFrom4([4]byte{169, 254, 20, 10})

// labels contains the labels of the DNS servers of common distributions, and namespaces contains the
// namespaces of these servers.
var (
	labels = [][2]string{
		{"k8s-app", "kube-dns"},
		{"k8s-app", "coredns"},
		{"app.kubernetes.io/name", "coredns"},
		{"app.kubernetes.io/name", "rke2-coredns"},
		{"dns.operator.openshift.io/daemonset-dns", "default"},
	}
	namespaces = []string{Namespace, "openshift-dns"}
)

// IsServer reports whether pods with the given labels and ports in a namespace are the DNS servers of
// the cluster. This is the case if they have the labels of a common distribution, or if they define
// a UDP port for DNS in a namespace of the system.
func IsServer(namespace string, l label.Set, ports policy.ContainerPorts) bool {
	return Label(l) != "" || IsSystem(namespace) && namedPort(ports) != 0
}

// IsSystem reports whether the DNS servers of common distributions run in a namespace.
func IsSystem(namespace string) bool { return slices.Contains(namespaces, namespace) }

// IsNodeLocal reports whether the labels of a pod are the labels of NodeLocal DNSCache.
func IsNodeLocal(l label.Set) bool {
	return l.Get("k8s-app") == "node-local-dns" || l.Get("k8s-app") == "nodelocaldns" || l.Get("k8s-app") == "node-local-dns-cache"
}

// Label returns the label by which a DNS server is recognized, such as k8s-app=kube-dns. If there is
// no such label, it returns "".
func Label(l label.Set) string {
	for _, want := range labels {
		if l.Get(want[0]) == want[1] {
			return want[0] + "=" + want[1]
		}
	}
	return ""
}

// Port returns the UDP port on which a DNS server with the given ports listens. It is 53 if no port has
// the name of a DNS port.
func Port(ports policy.ContainerPorts) uint16 {
	if named := namedPort(ports); named != 0 {
		return named
	}
	return port
}

func namedPort(ports policy.ContainerPorts) uint16 {
	for _, p := range ports {
		if p.Protocol == flow.UDP && isName(p.Name) {
			return p.Number
		}
	}
	return 0
}

func isName(name string) bool { return name == "dns" || name == "domain" || name == "dns-udp" }

// Includes reports whether the list `ports` includes the DNS port for a protocol, if the ports of the DNS
// servers are unknown. An empty list includes every port.
func Includes(ports []policy.Port, protocol flow.Protocol) bool {
	return includes(ports, protocol, func(p policy.Port) bool {
		return isName(p.Name) || p.Contains(port) || p.First == coreDNSPort && p.Last == coreDNSPort
	})
}

// IncludesPort reports whether the list `ports` includes a port number of a protocol, or the name of a
// DNS port. An empty list includes every port.
func IncludesPort(ports []policy.Port, protocol flow.Protocol, number uint16) bool {
	return includes(ports, protocol, func(p policy.Port) bool {
		return isName(p.Name) || p.Contains(number)
	})
}

func includes(ports []policy.Port, protocol flow.Protocol, match func(policy.Port) bool) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p policy.Port) bool { return p.Protocol == protocol && match(p) })
}
