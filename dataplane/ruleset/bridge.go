package ruleset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A bridge forwards frames with a VLAN tag without passing the hooks of IP, and a pod
// accepts a frame with VLAN number 0 like an untagged frame. So tagged frames would reach
// pods regardless of policies. The table `bridge sluice` drops the tagged frames that
// arrive from pods:
//
//	table bridge sluice {
//	  set ports { type iface_index; }
//	  chain forward {
//	    type filter hook forward priority -300; policy accept;
//	    iif @ports ether type 8021q drop
//	    iif @ports ether type 8021ad drop
//	  }
//	}

// ports is the set of the bridge table. It contains the ports from which tagged frames are
// dropped.
var ports = set{"ports", nftables.TypeIFIndex, binaryutil.NativeEndian}

// priorityBridge is before the priority of br_netfilter (0).
const priorityBridge = -300

var (
	bridgeTable = &nftables.Table{Family: nftables.TableFamilyBridge, Name: tableName}
	bridgeChain = chain{
		name: "forward", hook: nftables.ChainHookForward, priority: priorityBridge,
		rules: []expressions{
			append(join(inputInterfaceIn(ports), etherType(unix.ETH_P_8021Q)), drop()),
			append(join(inputInterfaceIn(ports), etherType(unix.ETH_P_8021AD)), drop()),
		},
	}
)

// etherType: ether type NUMBER. If a frame is tagged, it compares the type of the outermost
// tag, even if the network device has removed the tag from the frame.
func etherType(number uint16) expressions {
	return expressions{
		&expr.Payload{DestRegister: register, Base: expr.PayloadBaseLLHeader, Offset: 12, Len: 2},
		equal(binary.BigEndian.AppendUint16(nil, number)),
	}
}

// SetPorts replaces the ports of bridges from which tagged frames are dropped, and creates
// the bridge table if it does not exist. Only Unbridge removes the table.
func (t *Table) SetPorts(numbers []uint32) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bridged {
		if slices.Equal(numbers, t.ports) {
			return nil
		}
		if t.commitBridge(t.ports, numbers) == nil {
			return nil
		}
		// Another program has modified the table. Reinstall the table to repair it.
	}
	return t.installBridge(numbers)
}

// installBridge creates the bridge table, or corrects an existing table, in one
// transaction. If the table contains anything that Sluice did not create, the transaction
// first deletes the table.
func (t *Table) installBridge(numbers []uint32) error {
	foreign, err := t.bridgeIsForeign()
	if err != nil {
		return err
	}
	t.conn.AddTable(bridgeTable)
	if foreign {
		t.conn.DelTable(bridgeTable)
		t.conn.AddTable(bridgeTable)
	}
	s, c := ports.of(bridgeTable), bridgeChain.of(bridgeTable)
	if err := t.conn.AddSet(s, nil); err != nil {
		return fmt.Errorf("adding set %s: %w", ports.name, err)
	}
	t.conn.AddChain(c)
	t.conn.FlushTable(bridgeTable)
	t.conn.FlushSet(s)
	for _, r := range bridgeChain.rules {
		t.conn.AddRule(&nftables.Rule{Table: bridgeTable, Chain: c, Exprs: r})
	}
	return t.commitBridge(nil, numbers)
}

// commitBridge changes the elements of the set and ends the transaction.
func (t *Table) commitBridge(from, to []uint32) error {
	if err := ports.change(t.conn, bridgeTable, keysOf(from), keysOf(to)); err != nil {
		return err
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("changing table %s: %w", nameOf(bridgeTable), err)
	}
	t.bridged, t.ports = true, slices.Clone(to)
	return nil
}

// bridgeIsForeign reports whether the bridge table contains a chain, a set or an object
// that Sluice did not create.
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
		slices.ContainsFunc(sets, func(s *nftables.Set) bool { return s.Name != ports.name || !ports.hasShapeOf(s) }), nil
}

// Unbridge removes the bridge table. The kernel then drops all packets that wait in any
// queue of the network namespace. If there is no table, Unbridge does nothing.
func (t *Table) Unbridge() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bridged, t.ports = false, nil
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

// removeTable removes a table and verifies that the table no longer exists. If there is no
// table, it returns nil.
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
		err = fmt.Errorf("removing table %s: it still exists", nameOf(t))
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
