// Package nft builds the expressions of nftables rules.
//
// A rule is a list of expressions that share registers. Usually, one expression loads a value into a
// Register, the next one compares the value, and the last one issues a verdict. Each function returns
// the expressions for the nft text in its comment. Unless noted otherwise, the functions use Register.
package nft

import (
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Register is the number of the register that the functions use.
const Register = 1

// Expressions is a rule or a part of a rule.
type Expressions = []expr.Any

// Join returns the expressions of all parts in one list.
func Join(parts ...Expressions) Expressions {
	var out Expressions
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// Native returns the bytes of v in the byte order of this machine.
func Native(v uint32) []byte { return binaryutil.NativeEndian.PutUint32(v) }

// Equal compares the register: a rule continues if the register contains the data.
func Equal(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: Register, Data: data}
}

// NotEqual compares the register: a rule continues if the register does not contain the data.
func NotEqual(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpNeq, Register: Register, Data: data}
}

// And replaces the register by the bitwise conjunction of register and mask.
func And(mask []byte) expr.Any {
	return &expr.Bitwise{SourceRegister: Register, DestRegister: Register, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}

// ReplaceBits sets register = register & ~mask | bits.
func ReplaceBits(mask, bits uint32) expr.Any {
	return &expr.Bitwise{SourceRegister: Register, DestRegister: Register, Len: 4, Mask: Native(^mask), Xor: Native(bits & mask)}
}

// MarkIs returns the expressions for `meta mark & MASK == BITS`.
func MarkIs(mask, bits uint32) Expressions {
	return Expressions{&expr.Meta{Key: expr.MetaKeyMARK, Register: Register}, And(Native(mask)), Equal(Native(bits))}
}

// MarkIsNot returns the expressions for `meta mark & MASK != BITS`.
func MarkIsNot(mask, bits uint32) Expressions {
	return Expressions{&expr.Meta{Key: expr.MetaKeyMARK, Register: Register}, And(Native(mask)), NotEqual(Native(bits))}
}

// ClearMark returns the expressions for `meta mark set meta mark & ~MASK`.
func ClearMark(mask uint32) Expressions {
	return Expressions{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: Register},
		ReplaceBits(mask, 0),
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: Register},
	}
}

// ConnectionMarkIs returns the expressions for `ct mark & MASK == BITS`. A packet without
// a connection does not match.
func ConnectionMarkIs(mask, bits uint32) Expressions {
	return Expressions{&expr.Ct{Key: expr.CtKeyMARK, Register: Register}, And(Native(mask)), Equal(Native(bits))}
}

// SetConnectionMark returns the expressions for `ct mark set ct mark & ~MASK | BITS`. If
// a packet has no connection, the kernel stops evaluating the rule at this statement.
func SetConnectionMark(mask, bits uint32) Expressions {
	return Expressions{
		&expr.Ct{Key: expr.CtKeyMARK, Register: Register},
		ReplaceBits(mask, bits),
		&expr.Ct{Key: expr.CtKeyMARK, SourceRegister: true, Register: Register},
	}
}

// StateIs returns the expressions for `ct state BITS`. The rule matches if any of the
// bits is set.
func StateIs(bits uint32) Expressions {
	return Expressions{&expr.Ct{Key: expr.CtKeySTATE, Register: Register}, And(Native(bits)), NotEqual(Native(0))}
}

// StateIsNot returns the expressions for `ct state != BITS`. The rule matches if none of the bits
// is set. It also matches invalid and untracked packets, which have no connection.
func StateIsNot(bits uint32) Expressions {
	return Expressions{&expr.Ct{Key: expr.CtKeySTATE, Register: Register}, And(Native(bits)), Equal(Native(0))}
}

// ReplyDirection returns the expressions for `ct direction reply`.
func ReplyDirection() Expressions {
	return Expressions{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: Register}, Equal([]byte{1})}
}

// Protocol returns the expressions for `meta l4proto NUMBER`.
func Protocol(number byte) Expressions {
	return Expressions{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: Register}, Equal([]byte{number})}
}

// ProtocolIsNot returns the expressions for `meta l4proto != NUMBER`.
func ProtocolIsNot(number byte) Expressions {
	return Expressions{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: Register}, NotEqual([]byte{number})}
}

// NotICMP returns the expressions for `meta l4proto != icmp meta l4proto != ipv6-icmp`.
func NotICMP() Expressions {
	return Join(ProtocolIsNot(unix.IPPROTO_ICMP), ProtocolIsNot(unix.IPPROTO_ICMPV6))
}

// Family returns the expressions for `meta nfproto ipv4|ipv6`.
func Family(number byte) Expressions {
	return Expressions{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: Register}, Equal([]byte{number})}
}

const tcpFlagsOffset = 13

func tcpFlags(mask byte) Expressions {
	return Join(Protocol(unix.IPPROTO_TCP), Expressions{
		&expr.Payload{DestRegister: Register, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlagsOffset, Len: 1},
		And([]byte{mask}),
	})
}

const (
	synFlag = 0x02
	rstFlag = 0x04
	ackFlag = 0x10
)

// TCPNotOpening returns the expressions for `tcp flags & (syn | ack) != syn`.
func TCPNotOpening() Expressions {
	return append(tcpFlags(synFlag|ackFlag), NotEqual([]byte{synFlag}))
}

// TCPReset returns the expressions for `tcp flags & rst == rst`.
func TCPReset() Expressions {
	return append(tcpFlags(rstFlag), Equal([]byte{rstFlag}))
}

// NeighbourDiscovery returns the expressions for `ip6 hoplimit 255 icmpv6 type 133-137`.
func NeighbourDiscovery() Expressions {
	return append(icmp6Type(255), &expr.Range{Op: expr.CmpOpEq, Register: Register, FromData: []byte{133}, ToData: []byte{137}})
}

// ListenerDiscovery returns the expressions for `ip6 hoplimit 1 icmpv6 type 130-132`.
func ListenerDiscovery() Expressions {
	return append(icmp6Type(1), &expr.Range{Op: expr.CmpOpEq, Register: Register, FromData: []byte{130}, ToData: []byte{132}})
}

// ListenerReport2 returns the expressions for `ip6 hoplimit 1 icmpv6 type 143`.
func ListenerReport2() Expressions {
	return append(icmp6Type(1), Equal([]byte{143}))
}

// icmp6Type returns the expressions for `ip6 hoplimit HOPS icmpv6 type`. The expressions
// load the ICMPv6 type into the register. The caller appends an expression that compares
// the type.
func icmp6Type(hops byte) Expressions {
	return Join(
		Family(unix.NFPROTO_IPV6),
		Expressions{
			&expr.Payload{DestRegister: Register, Base: expr.PayloadBaseNetworkHeader, Offset: 7, Len: 1},
			Equal([]byte{hops}),
		},
		Protocol(unix.IPPROTO_ICMPV6),
		Expressions{&expr.Payload{DestRegister: Register, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1}},
	)
}

// SourceIsLocal returns the expressions for `fib saddr type local`.
func SourceIsLocal() Expressions {
	return Expressions{
		&expr.Fib{Register: Register, FlagSADDR: true, ResultADDRTYPE: true},
		Equal(Native(unix.RTN_LOCAL)),
	}
}

// SourceHasNoReversePath returns the expressions for `fib saddr . iif oif missing`. The
// rule matches if no route to the source address leads to the interface on which the
// packet arrived. The kernel rejects this expression in chains that are reachable from the
// output hook.
func SourceHasNoReversePath() Expressions {
	return Expressions{
		&expr.Fib{Register: Register, FlagSADDR: true, FlagIIF: true, FlagPRESENT: true, ResultOIF: true},
		Equal(Native(0)),
	}
}

// SourceIsLinkLocal returns the expressions for `ip6 saddr fe80::/10`.
func SourceIsLinkLocal() Expressions {
	return Join(Family(unix.NFPROTO_IPV6), Expressions{
		&expr.Payload{DestRegister: Register, Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: 16},
		And(append([]byte{0xff, 0xc0}, make([]byte, 14)...)),
		Equal(append([]byte{0xfe, 0x80}, make([]byte, 14)...)),
	})
}

// ToMulticast returns the expressions for `ip6 daddr ff00::/8`.
func ToMulticast() Expressions {
	return Join(Family(unix.NFPROTO_IPV6), Expressions{
		&expr.Payload{DestRegister: Register, Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 1},
		Equal([]byte{0xff}),
	})
}

// FromDHCPClient returns the expressions for `udp sport 546 udp dport 547`.
func FromDHCPClient() Expressions {
	return Join(Protocol(unix.IPPROTO_UDP), Expressions{
		&expr.Payload{DestRegister: Register, Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 4},
		Equal([]byte{546 >> 8, 546 & 0xff, 547 >> 8, 547 & 0xff}),
	})
}

// FromLoopback returns the expressions for `iif "lo"`. The rule matches packets that this
// node sent to itself. In every network namespace, the interface lo has index 1.
func FromLoopback() Expressions {
	return Expressions{&expr.Meta{Key: expr.MetaKeyIIF, Register: Register}, Equal(Native(LoopbackIndex))}
}

// LoopbackIndex is the index of the interface lo, LOOPBACK_IFINDEX of include/net/flow.h.
const LoopbackIndex = 1

// HasInputInterface returns the expressions for `iif != 0`. The rule matches packets that
// arrived on an interface. In the output hook, no packet matches.
func HasInputInterface() Expressions {
	return Expressions{&expr.Meta{Key: expr.MetaKeyIIF, Register: Register}, NotEqual(Native(0))}
}

// Accept returns the expression for `accept`.
func Accept() expr.Any { return &expr.Verdict{Kind: expr.VerdictAccept} }

// Drop returns the expression for `drop`.
func Drop() expr.Any { return &expr.Verdict{Kind: expr.VerdictDrop} }

// JumpTo returns the expression for `jump CHAIN`. When CHAIN returns, the kernel continues
// with the next rule after this rule.
func JumpTo(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain} }

// ReturnToCaller returns the expression for `return`.
func ReturnToCaller() expr.Any { return &expr.Verdict{Kind: expr.VerdictReturn} }

// GoTo returns the expression for `goto CHAIN`. When CHAIN returns, the kernel does not
// continue with the rules after this rule.
func GoTo(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictGoto, Chain: chain} }

// RejectWithReset returns the expression for `reject with tcp reset`.
func RejectWithReset() expr.Any {
	return &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}
}

// rejectAdminProhibited is NFT_REJECT_ICMPX_ADMIN_PROHIBITED of enum
// nft_reject_inet_code in include/uapi/linux/netfilter/nf_tables.h.
const rejectAdminProhibited = 3

// RejectProhibited returns the expression for `reject with icmpx admin-prohibited`.
func RejectProhibited() expr.Any {
	return &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: rejectAdminProhibited}
}
