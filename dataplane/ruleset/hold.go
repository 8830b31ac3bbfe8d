package ruleset

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// When a pod starts to send or to receive packets, the current tree may not contain the pod
// yet. The rules below send the first packet of a flow to the hold queue if the source or the
// destination address is unknown, and the interface on that side may lead to a pod. When a packet
// is released, its packet mark is Either, and the packet passes through the rules again. Because
// of this mark, it goes to the chain evaluate-released, which sends no packet to the hold queue.

// Names of the chains that hold packets.
const (
	marked          = "marked"
	released        = "evaluate-released"
	unknownPods     = "unknown-pods"
	holdSource      = "hold-source"
	holdDestination = "hold-destination"
)

// The sets `known4` and `known6` contain Addresses.Known. The set `uplinks` contains Links.Uplinks
// and the index 0. A packet without an input interface matches index 0, so its source address never
// causes the rules to hold it. Likewise, the destination address of a packet without an output
// interface never causes the rules to hold it.
var (
	known4 = addressSet{set{name: "known4", keyType: nftables.TypeIPAddr, order: binaryutil.BigEndian}, unix.NFPROTO_IPV4, sourceOffset4, 4}
	known6 = addressSet{set{name: "known6", keyType: nftables.TypeIP6Addr, order: binaryutil.BigEndian}, unix.NFPROTO_IPV6, sourceOffset6, 16}

	knownSets = []addressSet{known4, known6}

	uplinks = set{name: "uplinks", keyType: nftables.TypeIFIndex, order: binaryutil.NativeEndian}
)

// knownRules returns the rules that check whether the pod of a first packet is known. If the pod is
// unknown, they send the packet to the hold queue.
func (c Config) knownRules() []expressions {
	rules := []expressions{{jumpTo(firstPackets)}}
	for _, s := range knownSets {
		rules = append(rules, append(join(interfaceNotIn(expr.MetaKeyIIF, uplinks), notInSet(s)), jumpTo(holdSource)))
	}
	for _, s := range knownSets {
		// In the IP header, the destination address follows the source address.
		s.offset += s.length
		rules = append(rules, append(join(interfaceNotIn(expr.MetaKeyOIF, uplinks), notInSet(s)), jumpTo(holdDestination)))
	}
	return rules
}

// holdChains returns the chains that hold packets. The chains `hold-source` and `hold-destination`
// return to the calling chain if a packet must not be held.
func (c Config) holdChains() []chain {
	if !c.Hold {
		return nil
	}
	never := []expressions{
		append(join(stateIs(expr.CtStateBitRELATED), protocol(unix.IPPROTO_ICMP)), returnToCaller()),
		append(join(stateIs(expr.CtStateBitRELATED), protocol(unix.IPPROTO_ICMPV6)), returnToCaller()),
		append(neighbourDiscovery(), returnToCaller()),
	}
	hold := expressions{queueTo(c.Queueing, Queues{Base: c.QueueBase, Count: c.Queues}.Hold(), 1, c.FailurePolicy == FailOpen)}
	source := slices.Concat(never, []expressions{
		append(sourceIsLocal(), returnToCaller()),
		append(addressIn(unix.NFPROTO_IPV4, sourceOffset4, []byte{169, 254}, 0xff, 0xff), returnToCaller()),
		append(addressIn(unix.NFPROTO_IPV4, sourceOffset4, []byte{0}, 0xff), returnToCaller()),
		append(sourceIsLinkLocal(), returnToCaller()),
		append(addressIn(unix.NFPROTO_IPV6, sourceOffset6, make([]byte, 16), ones(16)...), returnToCaller()),
		hold,
	})
	destination := slices.Concat(never, []expressions{
		append(destinationIsNotUnicast(), returnToCaller()),
		append(addressIn(unix.NFPROTO_IPV4, destinationOffset4, []byte{169, 254}, 0xff, 0xff), returnToCaller()),
		append(toMulticast(), returnToCaller()),
		append(addressIn(unix.NFPROTO_IPV6, destinationOffset6, []byte{0xfe, 0x80}, 0xff, 0xc0), returnToCaller()),
		hold,
	})
	return []chain{
		{name: holdSource, rules: source},
		{name: holdDestination, rules: destination},
		{name: unknownPods, rules: c.knownRules()},
		// The last rule accepts the packet. Otherwise the kernel would continue with the chain
		// `evaluate`, which jumps to the chain `marked`.
		{name: released, rules: append(c.evaluateReceivedRules(c.clearRule(), firstPackets), expressions{accept()})},
		{name: marked, rules: []expressions{
			append(markIs(c.Marks.Mask, c.Marks.Either), goTo(released)),
			clearMark(c.Marks.Mask),
		}},
	}
}

// firstPacketsChain returns the chain for packets that do not belong to an established
// connection.
func (c Config) firstPacketsChain() string {
	if c.Hold {
		return unknownPods
	}
	return firstPackets
}

// marksRule returns the rule for packets that have not been evaluated yet, but whose mark
// already contains bits of Sluice.
func (c Config) marksRule() expressions {
	if c.Hold {
		return append(markIsNot(c.Marks.Mask, 0), jumpTo(marked))
	}
	return c.clearRule()
}

// addressIn returns the expressions for `ip saddr & MASK == PREFIX`. The `number` parameter
// identifies the address family. The `offset` parameter is the position of the address in the
// IP header, so that a rule can match the source or the destination address. If the mask is
// shorter than the address, only the first bytes of the address are compared.
func addressIn(number byte, offset uint32, prefix []byte, mask ...byte) expressions {
	return join(family(number), expressions{
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(mask))},
		and(mask),
		equal(prefix),
	})
}

func ones(n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = 0xff
	}
	return out
}

// destinationIsNotUnicast returns the expressions for `meta nfproto ipv4 fib daddr type
// != unicast`. The rule matches IPv4 packets to broadcast and multicast addresses, and to
// addresses of this node.
func destinationIsNotUnicast() expressions {
	return join(family(unix.NFPROTO_IPV4), expressions{
		&expr.Fib{Register: register, FlagDADDR: true, ResultADDRTYPE: true},
		notEqual(native(unix.RTN_UNICAST)),
	})
}

// interfaceNotIn returns the expressions for `iif != @SET` or `oif != @SET`.
func interfaceNotIn(key expr.MetaKey, s set) expressions {
	return expressions{
		&expr.Meta{Key: key, Register: register},
		&expr.Lookup{SourceRegister: register, SetName: s.name, Invert: true},
	}
}

// notInSet returns the expressions for `ip saddr != @SET`. If the set is for destination
// addresses or for IPv6, the text contains ip daddr, ip6 saddr or ip6 daddr instead of ip
// saddr.
func notInSet(s addressSet) expressions {
	return join(family(s.family), expressions{
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: s.offset, Len: s.length},
		&expr.Lookup{SourceRegister: register, SetName: s.name, Invert: true},
	})
}
