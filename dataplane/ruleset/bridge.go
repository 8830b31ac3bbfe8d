package ruleset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/ruleset/internal/nft"
)

// The table `bridge sluice` validates the frames that pods send on a bridge:
//
//	table bridge sluice {
//	  set ports   { type iface_index; }
//	  set owned4  { type ipv4_addr; }
//	  set owned6  { type ipv6_addr; }
//	  set owners4 { type iface_index . ipv4_addr; }
//	  set owners6 { type iface_index . ipv6_addr; }
//	  chain prerouting {
//	    type filter hook prerouting priority -300; policy accept;
//	    iif != @ports accept
//	    ether type 8021q drop
//	    ether type 8021ad drop
//	    iif . ip saddr @owners4 accept
//	    ip saddr @owned4 drop
//	    iif . ip6 saddr @owners6 accept
//	    ip6 saddr @owned6 drop
//	  }
//	}
//
// The table drops frames with a VLAN tag. A bridge forwards such frames without passing
// them to the IP hooks, and a pod accepts a frame with VLAN ID 0 like an untagged frame.
// So tagged frames would reach pods regardless of policies.
//
// The table also drops packets in which a pod uses the source address of another pod on the
// same bridge. The IP hooks cannot detect these packets: in the IP hooks, the input interface
// of each such packet is the bridge. In the bridge hooks, the input interface is the port of
// the pod.

// Bridges describes the bridges that lead to isolated pods.
type Bridges struct {
	// Ports contains the indexes of the bridge ports whose frames are validated.
	Ports []uint32
	// Owners contains the addresses of the pods on the bridges. It omits the addresses for
	// which the bridge port is unknown.
	Owners []Owner
}

// Owner assigns an address to the bridge port of a pod. Packets with this source address must
// arrive on this port. If several owners have the same address, the packets may arrive on the port
// of any of them.
type Owner struct {
	Port    uint32
	Address netip.Addr
}

// The sets of the bridge table. The set `ports` contains Bridges.Ports. The sets `owned4` and
// `owned6` contain the addresses in Bridges.Owners. The sets `owners4` and `owners6` contain the
// pairs of port and address in Bridges.Owners.
var (
	ports   = set{name: "ports", keyType: nftables.TypeIFIndex, order: binaryutil.NativeEndian}
	owned4  = set{name: "owned4", keyType: nftables.TypeIPAddr, order: binaryutil.BigEndian}
	owned6  = set{name: "owned6", keyType: nftables.TypeIP6Addr, order: binaryutil.BigEndian}
	owners4 = set{name: "owners4", keyType: nftables.MustConcatSetType(nftables.TypeIFIndex, nftables.TypeIPAddr), order: binaryutil.BigEndian}
	owners6 = set{name: "owners6", keyType: nftables.MustConcatSetType(nftables.TypeIFIndex, nftables.TypeIP6Addr), order: binaryutil.BigEndian}

	bridgeSets = []set{ports, owned4, owned6, owners4, owners6}
)

// priorityBridge is the priority of the chain. With this priority, the chain runs before
// br_netfilter, which has priority 0.
const priorityBridge = -300

var (
	bridgeTable = &nftables.Table{Family: nftables.TableFamilyBridge, Name: tableName}
	bridgeChain = chain{
		name: "prerouting", hook: nftables.ChainHookPrerouting, priority: priorityBridge,
		rules: []nft.Expressions{
			append(interfaceNotIn(expr.MetaKeyIIF, ports), nft.Accept()),
			append(etherType(unix.ETH_P_8021Q), nft.Drop()),
			append(etherType(unix.ETH_P_8021AD), nft.Drop()),
			append(inputInterfaceAndSourceIn(owners4, unix.ETH_P_IP, sourceOffset4, 4), nft.Accept()),
			append(bridgedSourceIn(owned4, unix.ETH_P_IP, sourceOffset4, 4), nft.Drop()),
			append(inputInterfaceAndSourceIn(owners6, unix.ETH_P_IPV6, sourceOffset6, 16), nft.Accept()),
			append(bridgedSourceIn(owned6, unix.ETH_P_IPV6, sourceOffset6, 16), nft.Drop()),
		},
	}
)

func bridgeContentOf(b Bridges) content {
	out := content{ports.name: keysOf(b.Ports)}
	for _, s := range bridgeSets[1:] {
		out[s.name] = map[string]struct{}{}
	}
	for _, o := range b.Owners {
		owned, owners := owned4, owners4
		if o.Address.Is6() {
			owned, owners = owned6, owners6
		}
		out[owned.name][string(o.Address.AsSlice())] = struct{}{}
		out[owners.name][string(append(binary.NativeEndian.AppendUint32(nil, o.Port), o.Address.AsSlice()...))] = struct{}{}
	}
	return out
}

// protocolIs returns the expressions for `meta protocol NUMBER`. In a bridge table, this
// match selects the IP version.
func protocolIs(etherType uint16) nft.Expressions {
	return nft.Expressions{&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: nft.Register}, nft.Equal(binary.BigEndian.AppendUint16(nil, etherType))}
}

// bridgedSourceIn returns the expressions for `ip saddr @SET` or `ip6 saddr @SET`.
// version is the EtherType of IPv4 or IPv6.
func bridgedSourceIn(s set, version uint16, offset, length uint32) nft.Expressions {
	return nft.Join(protocolIs(version), nft.Expressions{
		&expr.Payload{DestRegister: nft.Register, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Lookup{SourceRegister: nft.Register, SetName: s.name},
	})
}

// inputInterfaceAndSourceIn returns the expressions for `iif . ip saddr @SET` or `iif . ip6
// saddr @SET`. The lookup reads the concatenated key from adjacent registers.
func inputInterfaceAndSourceIn(s set, version uint16, offset, length uint32) nft.Expressions {
	return nft.Join(protocolIs(version), nft.Expressions{
		&expr.Meta{Key: expr.MetaKeyIIF, Register: unix.NFT_REG32_00},
		&expr.Payload{DestRegister: unix.NFT_REG32_01, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: length},
		&expr.Lookup{SourceRegister: unix.NFT_REG32_00, SetName: s.name},
	})
}

// etherType returns the expressions for `ether type NUMBER`. If a frame is tagged, the number
// is compared with the type of the outermost tag, even if the network device has removed the
// tag from the frame.
func etherType(number uint16) nft.Expressions {
	return nft.Expressions{
		&expr.Payload{DestRegister: nft.Register, Base: expr.PayloadBaseLLHeader, Offset: 12, Len: 2},
		nft.Equal(binary.BigEndian.AppendUint16(nil, number)),
	}
}

// SetBridges replaces the content of the bridge table, and creates the table if it does not
// exist. The table exists until Unbridge or Uninstall removes it.
func (t *Table) SetBridges(b Bridges) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	to := bridgeContentOf(b)
	if t.bridged != nil && t.commitBridge(t.bridged, to) == nil {
		return nil
	}
	// Either the table does not exist yet, or another program has modified it.
	return t.installBridge(to)
}

// installBridge creates the bridge table, or corrects an existing table, in one
// transaction. If the table contains anything that Sluice did not create, the transaction
// first deletes the table.
func (t *Table) installBridge(to content) error {
	foreign, err := t.bridgeIsForeign()
	if err != nil {
		return err
	}
	t.conn.AddTable(bridgeTable)
	if foreign {
		t.conn.DelTable(bridgeTable)
		t.conn.AddTable(bridgeTable)
	}
	for _, s := range bridgeSets {
		if err := t.conn.AddSet(s.of(bridgeTable), nil); err != nil {
			return fmt.Errorf("adding set %s: %w", s.name, err)
		}
		t.conn.FlushSet(s.of(bridgeTable))
	}
	c := bridgeChain.of(bridgeTable)
	t.conn.AddChain(c)
	t.conn.FlushTable(bridgeTable)
	for _, r := range bridgeChain.rules {
		t.conn.AddRule(&nftables.Rule{Table: bridgeTable, Chain: c, Exprs: r})
	}
	return t.commitBridge(content{}, to)
}

// commitBridge changes the content of the sets from the parameter `from` to the parameter `to`. It
// adds the necessary commands to the current transaction and commits the transaction.
func (t *Table) commitBridge(from, to content) error {
	for _, s := range bridgeSets {
		if err := s.change(t.conn, bridgeTable, from[s.name], to[s.name]); err != nil {
			return err
		}
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("changing table %s: %w", nameOf(bridgeTable), err)
	}
	t.bridged = to
	return nil
}

// bridgeIsForeign reports whether the bridge table contains a chain, a set or an object that
// does not belong to Sluice.
func (t *Table) bridgeIsForeign() (bool, error) {
	exists, err := hasTable(t.conn, bridgeTable)
	if !exists || err != nil {
		return false, err
	}
	chains, err := t.conn.ListChainsOfTableFamily(bridgeTable.Family)
	if err != nil {
		return false, fmt.Errorf("listing chains: %w", err)
	}
	sets, err := t.conn.GetSets(bridgeTable)
	if err != nil {
		return false, fmt.Errorf("listing sets: %w", err)
	}
	objects, err := t.conn.GetNamedObjects(bridgeTable)
	if err != nil {
		return false, fmt.Errorf("listing objects: %w", err)
	}
	return len(objects) > 0 ||
		slices.ContainsFunc(chains, func(c *nftables.Chain) bool {
			return c.Table.Name == tableName && (c.Name != bridgeChain.name || !bridgeChain.hasShapeOf(c))
		}) ||
		slices.ContainsFunc(sets, func(have *nftables.Set) bool {
			return !slices.ContainsFunc(bridgeSets, func(s set) bool { return s.name == have.Name && s.hasShapeOf(have) })
		}), nil
}

// Unbridge removes the bridge table. As a side effect, the kernel drops all packets that wait
// in any queue of the network namespace. If the table does not exist, Unbridge does nothing.
func (t *Table) Unbridge() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bridged = nil
	return removeTable(t.conn, bridgeTable)
}

// hasTable reports whether a table exists.
func hasTable(c *nftables.Conn, t *nftables.Table) (bool, error) {
	_, err := c.ListTableOfFamily(t.Name, t.Family)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ENOENT):
		return false, nil
	default:
		return false, fmt.Errorf("finding table %s: %w", nameOf(t), err)
	}
}

// removeTable removes a table and verifies that the table no longer exists. If the table does
// not exist, removeTable returns nil.
func removeTable(c *nftables.Conn, t *nftables.Table) error {
	exists, err := hasTable(c, t)
	if !exists || err != nil {
		return err
	}
	c.DelTable(t)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("removing table %s: %w", nameOf(t), err)
	}
	exists, err = hasTable(c, t)
	if exists {
		err = fmt.Errorf("removing table %s: the table still exists", nameOf(t))
	}
	return err
}

// nameOf returns the family and the name of a table of Sluice.
func nameOf(t *nftables.Table) string {
	if t.Family == nftables.TableFamilyBridge {
		return "bridge " + t.Name
	}
	return "inet " + t.Name
}
