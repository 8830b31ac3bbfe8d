package policy

import (
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/rule"
)

// peer is one way in which rules name pods, held once per snapshot however
// many rules use it. With a port name it matches only pods that have a port of
// that name, and a match carries the number.
type peer struct {
	// id orders the peers of a class. Unique within a snapshot.
	id   uint32
	refs int
	key  peerKey

	// pods are the pods that match, unless everyPod: then the pods of every
	// namespace match, even of one without an object.
	pods     PodSet
	everyPod bool
	// block, when not nil, is matched against the pod's address.
	block *rule.Block

	// portName, when set, must be a port of the pod for protocol.
	portName string
	protocol uint8
}

type peerKey struct {
	pods     PodSet
	everyPod bool
	block    string
	portName string
	protocol uint8
}

// keyed gives the peer the key under which equal peers are found.
func (p peer) keyed() *peer {
	p.key = peerKey{pods: p.pods, everyPod: p.everyPod, portName: p.portName, protocol: p.protocol}
	if p.block != nil {
		p.key.block = fmt.Sprint(p.block.Prefix, p.block.Excepts)
	}
	return &p
}

// named gives the peer that also asks for a port of that name.
func (p peer) named(protocol uint8, portName string) *peer {
	p.protocol, p.portName = protocol, portName
	return p.keyed()
}

// seesNamespace reports whether pods of the namespace can match.
func (p *peer) seesNamespace(ns *namespace) bool {
	return p.everyPod || p.pods.MatchesNamespace(ns.name, ns.object)
}

// match reports whether the peer matches the pods of a cohort whose namespace
// it sees, and the number of the port when the peer names one. For a peer with
// a block the address decides beside it.
func (p *peer) match(c *cohort) (number uint16, ok bool) {
	if !p.pods.Pods.Matches(c.key.labels) {
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
