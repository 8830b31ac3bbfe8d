package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// MasqueradeMark is a bit of the packet mark. kube-proxy sets this bit in a packet to request that
// the packet's source address be replaced with the address of the node (iptablesMasqueradeBit of
// kube-proxy, by default bit 14).
const MasqueradeMark uint32 = 0x4000

// Service describes a virtual address that has one backend. The node translates the address in
// the same way as kube-proxy.
type Service struct {
	// Protocol must be a protocol with ports.
	Protocol flow.Protocol
	// Address is the destination to which clients connect. Backend is the destination to which
	// the node redirects the packets of the clients. Both addresses must have the same family.
	Address, Backend netip.AddrPort
	// Masquerade makes the node replace the source address of every client with the address of
	// the node. If a backend connects to its own service, the node replaces the source address
	// even if Masquerade is false. Otherwise the backend would send the replies directly to
	// itself, and the node could not translate the replies.
	Masquerade bool
}

// Services translates the addresses of services on a node. It creates the same kind
// of rules as the nftables mode of kube-proxy:
//
//	table inet lab-services {
//	  chain services    { ip daddr A tcp dport P meta mark set meta mark | 0x4000    (where masqueraded)
//	                      ip daddr A tcp dport P dnat ip to B:Q }
//	  chain prerouting  { type nat hook prerouting priority -100; goto services }
//	  chain output      { type nat hook output priority -100; goto services }
//	  chain postrouting { type nat hook postrouting priority 100;
//	                      meta mark & 0x4000 == 0x4000 meta mark set meta mark & ~0x4000 masquerade }
//	}
type Services struct {
	node  *Node
	table *nftables.Table
	chain *nftables.Chain
}

// NewServices creates the table of a node without any services. A node can have only one such
// table.
func (n *Node) NewServices() (*Services, error) {
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: "lab-services"}
	s := &Services{node: n, table: table, chain: &nftables.Chain{Table: table, Name: "services"}}
	err := s.change(func(c *nftables.Conn) {
		c.AddTable(table)
		c.AddChain(s.chain)
		toServices := []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: s.chain.Name}}
		s.base(c, "prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, toServices)
		s.base(c, "output", nftables.ChainHookOutput, nftables.ChainPriorityNATDest, toServices)
		s.base(c, "postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, []expr.Any{
			&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 2, Len: 4, Mask: native(MasqueradeMark), Xor: native(0)},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 2, Data: native(MasqueradeMark)},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(^MasqueradeMark), Xor: native(0)},
			&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
			&expr.Masq{},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("preparing services on %s: %w", n.name, err)
	}
	return s, nil
}

func (s *Services) base(c *nftables.Conn, name string, hook *nftables.ChainHook, priority *nftables.ChainPriority, rule []expr.Any) {
	chain := c.AddChain(&nftables.Chain{Table: s.table, Name: name, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: priority})
	c.AddRule(&nftables.Rule{Table: s.table, Chain: chain, Exprs: rule})
}

// Add adds a service. The pods of the node and the node itself can use the service. Other hosts
// can use it if their packets to the service pass the node.
func (s *Services) Add(service Service) error {
	err := s.change(func(c *nftables.Conn) {
		matches := service.matches()
		mark := slices.Concat(matches, []expr.Any{
			&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(^MasqueradeMark), Xor: native(MasqueradeMark)},
			&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: 1},
		})
		if !service.Masquerade {
			mark = append(addressIs(service.Backend.Addr(), sourceOffset4, sourceOffset6), mark...)
		}
		c.AddRule(&nftables.Rule{Table: s.table, Chain: s.chain, Exprs: mark})
		c.AddRule(&nftables.Rule{Table: s.table, Chain: s.chain, Exprs: append(matches,
			&expr.Immediate{Register: 1, Data: service.Backend.Addr().AsSlice()},
			&expr.Immediate{Register: 2, Data: port(service.Backend)},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(familyOf(service.Backend.Addr())), RegAddrMin: 1, RegProtoMin: 2},
		)})
	})
	if err != nil {
		return fmt.Errorf("adding service %s %s on %s: %w", service.Protocol, service.Address, s.node.name, err)
	}
	return nil
}

func (s *Services) change(what func(*nftables.Conn)) error {
	return s.node.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		what(c)
		return c.Flush()
	})
}

// These are the offsets, in bytes, of the source and destination addresses in IPv4 and IPv6
// headers.
const (
	sourceOffset4, sourceOffset6           = 12, 8
	destinationOffset4, destinationOffset6 = 16, 24
)

// matches returns the nftables expressions for "FAMILY daddr ADDRESS PROTOCOL dport PORT".
func (s *Service) matches() []expr.Any {
	return append(addressIs(s.Address.Addr(), destinationOffset4, destinationOffset6),
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{byte(s.Protocol)}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: port(s.Address)},
	)
}

func addressIs(a netip.Addr, offset4, offset6 uint32) []expr.Any {
	offset := offset6
	if a.Is4() {
		offset = offset4
	}
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{familyOf(a)}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(a.BitLen() / 8)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: a.AsSlice()},
	}
}

func familyOf(a netip.Addr) byte {
	if a.Is4() {
		return unix.NFPROTO_IPV4
	}
	return unix.NFPROTO_IPV6
}

func port(a netip.AddrPort) []byte { return binary.BigEndian.AppendUint16(nil, a.Port()) }

func native(v uint32) []byte { return binaryutil.NativeEndian.PutUint32(v) }
