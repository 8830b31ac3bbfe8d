package ruleset

import (
	"encoding/binary"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// A rule is a list of expressions that share registers. Usually, one expression loads a value
// into a register, the next one compares the value, and the last one issues a verdict. Each
// function below returns the expressions for the nft text in its comment. Unless noted
// otherwise, the functions use register 1.

const register = 1

type expressions = []expr.Any

func join(parts ...expressions) expressions {
	var out expressions
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func native(v uint32) []byte { return binaryutil.NativeEndian.PutUint32(v) }

func equal(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: data}
}

func notEqual(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: data}
}

func and(mask []byte) expr.Any {
	return &expr.Bitwise{SourceRegister: register, DestRegister: register, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}

// replaceBits sets register = register & ~mask | bits.
func replaceBits(mask, bits uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: register, DestRegister: register, Len: 4, Mask: native(^mask), Xor: native(bits & mask)}
}

// markIs returns the expressions for `meta mark & MASK == BITS`.
func markIs(mask, bits uint32) expressions {
	return expressions{&expr.Meta{Key: expr.MetaKeyMARK, Register: register}, and(native(mask)), equal(native(bits))}
}

// markIsNot returns the expressions for `meta mark & MASK != BITS`.
func markIsNot(mask, bits uint32) expressions {
	return expressions{&expr.Meta{Key: expr.MetaKeyMARK, Register: register}, and(native(mask)), notEqual(native(bits))}
}

// clearMark returns the expressions for `meta mark set meta mark & ~MASK`.
func clearMark(mask uint32) expressions {
	return expressions{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: register},
		replaceBits(mask, 0),
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: register},
	}
}

// connectionMarkIs returns the expressions for `ct mark & MASK == BITS`. A packet without
// a connection does not match.
func connectionMarkIs(mask, bits uint32) expressions {
	return expressions{&expr.Ct{Key: expr.CtKeyMARK, Register: register}, and(native(mask)), equal(native(bits))}
}

// setConnectionMark returns the expressions for `ct mark set ct mark & ~MASK | BITS`. If
// a packet has no connection, the kernel stops evaluating the rule at this statement.
func setConnectionMark(mask, bits uint32) expressions {
	return expressions{
		&expr.Ct{Key: expr.CtKeyMARK, Register: register},
		replaceBits(mask, bits),
		&expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: register},
	}
}

// stateIs returns the expressions for `ct state BITS`. The rule matches if any of the
// bits is set.
func stateIs(bits uint32) expressions {
	return expressions{&expr.Ct{Key: expr.CtKeySTATE, Register: register}, and(native(bits)), notEqual(native(0))}
}

// stateIsNot returns the expressions for `ct state != BITS`. The rule matches if none of the bits
// is set. It also matches invalid and untracked packets, which have no connection.
func stateIsNot(bits uint32) expressions {
	return expressions{&expr.Ct{Key: expr.CtKeySTATE, Register: register}, and(native(bits)), equal(native(0))}
}

// replyDirection returns the expressions for `ct direction reply`.
func replyDirection() expressions {
	return expressions{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: register}, equal([]byte{1})}
}

// protocol returns the expressions for `meta l4proto NUMBER`.
func protocol(number byte) expressions {
	return expressions{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}, equal([]byte{number})}
}

// protocolIsNot returns the expressions for `meta l4proto != NUMBER`.
func protocolIsNot(number byte) expressions {
	return expressions{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}, notEqual([]byte{number})}
}

// notICMP returns the expressions for `meta l4proto != icmp meta l4proto != ipv6-icmp`.
func notICMP() expressions {
	return join(protocolIsNot(unix.IPPROTO_ICMP), protocolIsNot(unix.IPPROTO_ICMPV6))
}

// family returns the expressions for `meta nfproto ipv4|ipv6`.
func family(number byte) expressions {
	return expressions{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register}, equal([]byte{number})}
}

const tcpFlagsOffset = 13

func tcpFlags(mask byte) expressions {
	return join(protocol(unix.IPPROTO_TCP), expressions{
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlagsOffset, Len: 1},
		and([]byte{mask}),
	})
}

const (
	synFlag = 0x02
	rstFlag = 0x04
	ackFlag = 0x10
)

// tcpNotOpening returns the expressions for `tcp flags & (syn | ack) != syn`.
func tcpNotOpening() expressions {
	return append(tcpFlags(synFlag|ackFlag), notEqual([]byte{synFlag}))
}

// tcpReset returns the expressions for `tcp flags & rst == rst`.
func tcpReset() expressions {
	return append(tcpFlags(rstFlag), equal([]byte{rstFlag}))
}

// neighbourDiscovery returns the expressions for `ip6 hoplimit 255 icmpv6 type 133-137`.
func neighbourDiscovery() expressions {
	return append(icmp6Type(255), &expr.Range{Op: expr.CmpOpEq, Register: register, FromData: []byte{133}, ToData: []byte{137}})
}

// listenerDiscovery returns the expressions for `ip6 hoplimit 1 icmpv6 type 130-132`.
func listenerDiscovery() expressions {
	return append(icmp6Type(1), &expr.Range{Op: expr.CmpOpEq, Register: register, FromData: []byte{130}, ToData: []byte{132}})
}

// listenerReport2 returns the expressions for `ip6 hoplimit 1 icmpv6 type 143`.
func listenerReport2() expressions {
	return append(icmp6Type(1), equal([]byte{143}))
}

// icmp6Type returns the expressions for `ip6 hoplimit HOPS icmpv6 type`. The expressions
// load the ICMPv6 type into the register. The caller appends an expression that compares
// the type.
func icmp6Type(hops byte) expressions {
	return join(
		family(unix.NFPROTO_IPV6),
		expressions{
			&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 7, Len: 1},
			equal([]byte{hops}),
		},
		protocol(unix.IPPROTO_ICMPV6),
		expressions{&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1}},
	)
}

// sourceIsLocal returns the expressions for `fib saddr type local`.
func sourceIsLocal() expressions {
	return expressions{
		&expr.Fib{Register: register, FlagSADDR: true, ResultADDRTYPE: true},
		equal(native(unix.RTN_LOCAL)),
	}
}

// sourceHasNoReversePath returns the expressions for `fib saddr . iif oif missing`. The
// rule matches if no route to the source address leads to the interface on which the
// packet arrived. The kernel rejects this expression in chains that are reachable from the
// output hook.
func sourceHasNoReversePath() expressions {
	return expressions{
		&expr.Fib{Register: register, FlagSADDR: true, FlagIIF: true, FlagPRESENT: true, ResultOIF: true},
		equal(native(0)),
	}
}

// sourceIsLinkLocal returns the expressions for `ip6 saddr fe80::/10`.
func sourceIsLinkLocal() expressions {
	return join(family(unix.NFPROTO_IPV6), expressions{
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: 16},
		and(append([]byte{0xff, 0xc0}, make([]byte, 14)...)),
		equal(append([]byte{0xfe, 0x80}, make([]byte, 14)...)),
	})
}

// toMulticast returns the expressions for `ip6 daddr ff00::/8`.
func toMulticast() expressions {
	return join(family(unix.NFPROTO_IPV6), expressions{
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 1},
		equal([]byte{0xff}),
	})
}

// fromDHCPClient returns the expressions for `udp sport 546 udp dport 547`.
func fromDHCPClient() expressions {
	return join(protocol(unix.IPPROTO_UDP), expressions{
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 4},
		equal([]byte{546 >> 8, 546 & 0xff, 547 >> 8, 547 & 0xff}),
	})
}

// inputInterfaceIn returns the expressions for `iif @SET`.
func inputInterfaceIn(s set) expressions {
	return expressions{&expr.Meta{Key: expr.MetaKeyIIF, Register: register}, &expr.Lookup{SourceRegister: register, SetName: s.name}}
}

// fromLoopback returns the expressions for `iif "lo"`. The rule matches packets that this
// node sent to itself. In every network namespace, the interface lo has index 1.
func fromLoopback() expressions {
	return expressions{&expr.Meta{Key: expr.MetaKeyIIF, Register: register}, equal(native(loopbackIndex))}
}

// loopbackIndex is LOOPBACK_IFINDEX of include/net/flow.h.
const loopbackIndex = 1

// hasInputInterface returns the expressions for `iif != 0`. The rule matches packets that
// arrived on an interface. In the output hook, no packet matches.
func hasInputInterface() expressions {
	return expressions{&expr.Meta{Key: expr.MetaKeyIIF, Register: register}, notEqual(native(0))}
}

// inSet returns the expressions for `ip saddr @SET`. If the set is for destination addresses
// or for IPv6, the text contains ip daddr, ip6 saddr or ip6 daddr instead of ip saddr.
func inSet(s addressSet) expressions {
	return join(family(s.family), expressions{
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: s.offset, Len: s.length},
		&expr.Lookup{SourceRegister: register, SetName: s.name},
	})
}

func accept() expr.Any { return &expr.Verdict{Kind: expr.VerdictAccept} }

func drop() expr.Any { return &expr.Verdict{Kind: expr.VerdictDrop} }

// jumpTo returns the expression for `jump CHAIN`. When CHAIN returns, the kernel continues
// with the next rule after this rule.
func jumpTo(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain} }

// returnToCaller returns the expression for `return`.
func returnToCaller() expr.Any { return &expr.Verdict{Kind: expr.VerdictReturn} }

// goTo returns the expression for `goto CHAIN`. When CHAIN returns, the kernel does not
// continue with the rules after this rule.
func goTo(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictGoto, Chain: chain} }

// rejectWithReset returns the expression for `reject with tcp reset`.
func rejectWithReset() expr.Any {
	return &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}
}

// rejectAdminProhibited is NFT_REJECT_ICMPX_ADMIN_PROHIBITED of enum
// nft_reject_inet_code in include/uapi/linux/netfilter/nf_tables.h.
const rejectAdminProhibited = 3

// rejectProhibited returns the expression for `reject with icmpx admin-prohibited`.
func rejectProhibited() expr.Any {
	return &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: rejectAdminProhibited}
}

// queueTo returns the expressions for `queue to BASE-LAST`, where LAST is BASE + COUNT - 1.
// The kernel selects the queue by a hash of the addresses, so that packets between the same
// two addresses stay in order. The queue expression and the NFQUEUE target compute the same
// hash.
func queueTo(how Queueing, base, count uint16, bypass bool) expr.Any {
	if how == QueueExpression {
		e := &expr.Queue{Num: base, Total: count}
		if bypass {
			e.Flag = expr.QueueFlagBypass
		}
		return e
	}
	// This is a struct xt_NFQ_info_v3 of include/uapi/linux/netfilter/xt_NFQUEUE.h. It contains
	// three u16 fields and is padded to a multiple of 8 bytes by XT_ALIGN.
	info := make(xt.Unknown, 8)
	binary.NativeEndian.PutUint16(info[0:], base)
	binary.NativeEndian.PutUint16(info[2:], count)
	if bypass {
		binary.NativeEndian.PutUint16(info[4:], xtQueueBypass)
	}
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info}
}

// xtQueueBypass is NFQ_FLAG_BYPASS of xt_NFQUEUE.h. If the flag is set and no process has bound
// the queue, the kernel accepts packets.
const xtQueueBypass = 1
