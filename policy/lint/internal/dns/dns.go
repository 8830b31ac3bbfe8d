// Package dns recognizes DNS servers and DNS ports in policies.
package dns

import (
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

const (
	port = 53
	// coreDNSPort is the port on which CoreDNS listens in some distributions. The DNS Service
	// of these distributions maps port 53 to this port.
	coreDNSPort = 5353
	// Namespace is the namespace of the DNS server in most clusters.
	Namespace = "kube-system"
)

// IsServer reports whether the labels of a pod are the labels of CoreDNS, which is the DNS server of
// most clusters.
func IsServer(l label.Set) bool {
	return l.Get("k8s-app") == "kube-dns" || l.Get("k8s-app") == "coredns" || l.Get("app.kubernetes.io/name") == "coredns"
}

// Includes reports whether the list `ports` includes the DNS port for a protocol. An empty list
// includes every port.
func Includes(ports []policy.Port, protocol flow.Protocol) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p policy.Port) bool {
		switch {
		case p.Protocol != protocol:
			return false
		case p.Name != "":
			return p.Name == "dns" || p.Name == "domain" || p.Name == "dns-udp"
		default:
			return p.First <= port && port <= p.Last || p.First == coreDNSPort && p.Last == coreDNSPort
		}
	})
}
