package ruleset

import (
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/ruleset/internal/nft"
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
func (c Config) knownRules() []nft.Expressions {
	rules := []nft.Expressions{{nft.JumpTo(firstPackets)}}
	for _, s := range knownSets {
		rules = append(rules, append(nft.Join(interfaceNotIn(expr.MetaKeyIIF, uplinks), notInSet(s)), nft.JumpTo(holdSource)))
	}
	for _, s := range knownSets {
		// In the IP header, the destination address follows the source address.
		s.offset += s.length
		rules = append(rules, append(nft.Join(interfaceNotIn(expr.MetaKeyOIF, uplinks), notInSet(s)), nft.JumpTo(holdDestination)))
	}
	return rules
}

// holdChains returns the chains that hold packets. The chains `hold-source` and `hold-destination`
// return to the calling chain if a packet must not be held.
func (c Config) holdChains() []chain {
	if !c.Hold {
		return nil
	}
	never := []nft.Expressions{
		append(nft.Join(nft.StateIs(expr.CtStateBitRELATED), nft.Protocol(unix.IPPROTO_ICMP)), nft.ReturnToCaller()),
		append(nft.Join(nft.StateIs(expr.CtStateBitRELATED), nft.Protocol(unix.IPPROTO_ICMPV6)), nft.ReturnToCaller()),
		append(nft.NeighbourDiscovery(), nft.ReturnToCaller()),
	}
	hold := nft.Expressions{c.queueTo(holdQueue(c.QueueBase, c.Queues), 1)}
	source := slices.Concat(never, []nft.Expressions{
		append(nft.SourceIsLocal(), nft.ReturnToCaller()),
		append(addressIn(unix.NFPROTO_IPV4, sourceOffset4, []byte{169, 254}, 0xff, 0xff), nft.ReturnToCaller()),
		append(addressIn(unix.NFPROTO_IPV4, sourceOffset4, []byte{0}, 0xff), nft.ReturnToCaller()),
		append(nft.SourceIsLinkLocal(), nft.ReturnToCaller()),
		append(addressIn(unix.NFPROTO_IPV6, sourceOffset6, make([]byte, 16), ones(16)...), nft.ReturnToCaller()),
		hold,
	})
	destination := slices.Concat(never, []nft.Expressions{
		append(destinationIsNotUnicast(), nft.ReturnToCaller()),
		append(addressIn(unix.NFPROTO_IPV4, destinationOffset4, []byte{169, 254}, 0xff, 0xff), nft.ReturnToCaller()),
		append(nft.ToMulticast(), nft.ReturnToCaller()),
		append(addressIn(unix.NFPROTO_IPV6, destinationOffset6, []byte{0xfe, 0x80}, 0xff, 0xc0), nft.ReturnToCaller()),
		hold,
	})
	return []chain{
		{name: holdSource, rules: source},
		{name: holdDestination, rules: destination},
		{name: unknownPods, rules: c.knownRules()},
		// The last rule accepts the packet. Otherwise the kernel would continue with the chain
		// `evaluate`, which jumps to the chain `marked`.
		{name: released, rules: append(c.evaluateReceivedRules(c.clearRule(), firstPackets), nft.Expressions{nft.Accept()})},
		{name: marked, rules: []nft.Expressions{
			append(nft.MarkIs(c.Marks.Mask, c.Marks.Either), nft.GoTo(released)),
			nft.ClearMark(c.Marks.Mask),
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
func (c Config) marksRule() nft.Expressions {
	if c.Hold {
		return append(nft.MarkIsNot(c.Marks.Mask, 0), nft.JumpTo(marked))
	}
	return c.clearRule()
}

// addressIn returns the expressions for `ip saddr & MASK == PREFIX`. The `number` parameter
// identifies the address family. The `offset` parameter is the position of the address in the
// IP header, so that a rule can match the source or the destination address. If the mask is
// shorter than the address, only the first bytes of the address are compared.
func addressIn(number byte, offset uint32, prefix []byte, mask ...byte) nft.Expressions {
	return nft.Join(nft.Family(number), nft.Expressions{
		&expr.Payload{DestRegister: nft.Register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(len(mask))},
		nft.And(mask),
		nft.Equal(prefix),
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
func destinationIsNotUnicast() nft.Expressions {
	return nft.Join(nft.Family(unix.NFPROTO_IPV4), nft.Expressions{
		&expr.Fib{Register: nft.Register, FlagDADDR: true, ResultADDRTYPE: true},
		nft.NotEqual(nft.Native(unix.RTN_UNICAST)),
	})
}

// interfaceNotIn returns the expressions for `iif != @SET` or `oif != @SET`.
func interfaceNotIn(key expr.MetaKey, s set) nft.Expressions {
	return nft.Expressions{
		&expr.Meta{Key: key, Register: nft.Register},
		&expr.Lookup{SourceRegister: nft.Register, SetName: s.name, Invert: true},
	}
}

// notInSet returns the expressions for `ip saddr != @SET`. If the set is for destination
// addresses or for IPv6, the text contains ip daddr, ip6 saddr or ip6 daddr instead of ip
// saddr.
func notInSet(s addressSet) nft.Expressions {
	return append(s.address(), &expr.Lookup{SourceRegister: nft.Register, SetName: s.name, Invert: true})
}
