package policy

import (
	"fmt"
	"net/netip"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// peer is one way in which rules name pods, held once per snapshot however
// many rules use it. With a port name it matches only pods that have a port of
// that name, and a match carries the number.
type peer struct {
	// id orders the peers of a class. Unique within a snapshot.
	id   uint32
	refs int
	key  string

	// namespace, when set, is the one namespace whose pods can match.
	// Otherwise namespaces selects among the namespaces that exist, and when
	// that is nil too, the pods of all namespaces can match.
	namespace  string
	namespaces labels.Selector
	// pods, when nil, is every pod.
	pods labels.Selector
	// block, when not nil, is matched against the pod's address.
	block *rule.Block

	// portName, when set, must be a port of the pod for protocol.
	portName string
	protocol uint8
}

// keyed gives the peer the key under which equal peers are found.
func (p peer) keyed() *peer {
	sel := func(s labels.Selector) string {
		if s == nil {
			return "-"
		}
		return "{" + s.String() + "}"
	}
	block := ""
	if p.block != nil {
		block = fmt.Sprint(p.block.Prefix, p.block.Excepts)
	}
	p.key = fmt.Sprintf("%s|%s|%s|%s|%s/%d", p.namespace, sel(p.namespaces), sel(p.pods), block, p.portName, p.protocol)
	return &p
}

// named gives the peer that also asks for a port of that name.
func (p peer) named(protocol uint8, portName string) *peer {
	p.protocol, p.portName = protocol, portName
	return p.keyed()
}

// seesNamespace reports whether pods of the namespace can match.
func (p *peer) seesNamespace(ns *namespace) bool {
	switch {
	case p.namespace != "":
		return p.namespace == ns.name
	case p.namespaces != nil:
		return ns.defined && p.namespaces.Matches(ns.labels)
	default:
		return true
	}
}

// match reports whether the peer matches the pods of a cohort whose namespace
// it sees, and the number of the port when the peer names one. For a peer with
// a block the address decides beside it.
func (p *peer) match(c *cohort) (number uint16, ok bool) {
	if p.pods != nil && !p.pods.Matches(c.key.labels) {
		return 0, false
	}
	if p.portName == "" {
		return 0, true
	}
	number = port(c.ports, p.protocol, p.portName)
	return number, number != 0
}

// covers reports whether a block holds the address.
func covers(b *rule.Block, a netip.Addr) bool {
	if !b.Prefix.Contains(a) {
		return false
	}
	for _, except := range b.Excepts {
		if except.Contains(a) {
			return false
		}
	}
	return true
}
