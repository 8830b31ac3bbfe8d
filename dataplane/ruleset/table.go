// Package ruleset manages the nftables table `inet sluice`. The rules in this table
// accept, drop or queue a node's packets, and carry out the verdicts of the workers. On a
// node with isolated pods on a bridge, the package also manages the table `bridge sluice`.
// docs/packet-path.md explains each rule.
//
// When a base chain is removed, the kernel drops all packets that wait in any queue of the
// network namespace. So base chains are created once and remain until Uninstall removes them.
// All other changes are made in single transactions.
package ruleset

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const tableName = "sluice"

// ErrForeignShape means that the table exists and that one of its chains has an unexpected hook
// or priority. The kernel cannot change the hook or the priority of an existing chain.
var ErrForeignShape = errors.New("table inet sluice exists with other base chains: remove it with `sluice dataplane --uninstall` first")

// Deny selects how the rules discard a denied packet.
type Deny string

// The two ways to discard a denied packet.
const (
	// Drop sends nothing to the sender, so a connection attempt fails only after a timeout.
	Drop Deny = "Drop"
	// Reject sends a TCP reset to the sender. For other protocols, it sends the ICMP error
	// "administratively prohibited".
	Reject Deny = "Reject"
)

// FailurePolicy selects what the kernel does with packets that need a verdict while no worker
// can evaluate them.
type FailurePolicy string

// The failure policies. With both policies, connections that were accepted earlier continue.
const (
	// FailClosed drops the packets. No new flows from or to isolated pods are possible until
	// a worker runs.
	FailClosed FailurePolicy = "Closed"
	// FailOpen accepts the packets but does not mark their connections. As soon as a worker
	// runs, it evaluates the next packet from the initiator of each such connection.
	FailOpen FailurePolicy = "Open"
)

// Config contains the parameters of the rules. The zero value is not valid.
type Config struct {
	Marks Marks
	// QueueBase is the number of the first queue. Queues is the number of normal queues that
	// workers serve. The queue numbers are consecutive.
	QueueBase, Queues uint16
	// FloodQueue is the number of the queue for pods that open or receive flows faster than one of
	// the limits. If it is 0, the rules contain no lanes, and the kernel selects the queue of every
	// packet by a hash of both addresses.
	FloodQueue    uint16
	FailurePolicy FailurePolicy
	Deny          Deny
	Queueing      Queueing
	// WithoutReversePath omits the rules that look up the reverse path. Some kernels
	// before Linux 6.1 accept such rules only in the prerouting hook.
	WithoutReversePath bool
	// WithoutSetCounters omits the counters for the packets of pods. Some kernels before Linux
	// 5.11 do not support these counters.
	WithoutSetCounters bool
	// Hold adds the rules that send first packets of unknown pods to the hold queue.
	Hold bool
}

// Table manages the nftables table in the network namespace of the thread that called
// Open. It is safe for concurrent use.
type Table struct {
	mu     sync.Mutex
	conn   *nftables.Conn
	table  *nftables.Table
	config Config
	// installed is true if the table has been installed with the current config. If it is false,
	// the fields `now` and `addresses` are not valid. The field `now` is the content of the sets.
	// The field `addresses` contains the addresses from the last call of Install or SetAddresses.
	installed bool
	now       content
	addresses Addresses
	// links contains the links from the last call of SetLinks.
	links Links
	// bridged is the content of the sets of the bridge table. It is nil while the bridge table
	// does not exist.
	bridged content
	// The field `port` is the netlink port of `conn`. Events about changes that this Table made
	// contain this port.
	port uint32
}

// receiveBuffer is the size in bytes of the buffer for the kernel's replies to one
// transaction.
const receiveBuffer = 4 << 20

// Open connects to the kernel. It does not change the table.
func Open(config Config) (*Table, error) {
	t := &Table{table: &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}, config: config}
	var err error
	t.conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		t.port = c.PID()
		// Before the transaction ends, the kernel sends a copy of each added rule, and an
		// acknowledgement. The buffer must have space for all these messages.
		return c.SetReadBuffer(receiveBuffer)
	}))
	if err != nil {
		return nil, fmt.Errorf("opening nftables: %w", err)
	}
	return t, nil
}

// Close disconnects from the kernel. It does not remove the table.
func (t *Table) Close() error {
	if err := t.conn.CloseLasting(); err != nil {
		return fmt.Errorf("closing nftables: %w", err)
	}
	return nil
}

// SetQueues sets the queues that the next call of Install uses. Between SetQueues and Install,
// the caller must not call other methods that change the table.
func (t *Table) SetQueues(q Queues) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.config.QueueBase, t.config.Queues, t.config.FloodQueue = q.Base, q.Count, q.Flood
	t.installed = false
}

// Install creates the table, or corrects an existing table, in one transaction. So each packet
// is processed either by the old rules or by the new rules. Install keeps existing base chains,
// so that the kernel does not drop queued packets. If SetBridges has been called, Install then
// corrects the bridge table in a second transaction.
func (t *Table) Install(addresses Addresses) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for attempt := 1; ; attempt++ {
		err := t.install(addresses)
		if err == nil && t.bridged != nil {
			err = t.installBridge(t.bridged)
		}
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.config.WithoutReversePath = true
		}
		if err == nil || errors.Is(err, ErrForeignShape) || attempt == installAttempts {
			return err
		}
	}
}

// installAttempts is the maximum number of attempts that Install makes. An attempt first
// reads the table. If another program changes the table after this read, the transaction
// can fail. The error from the kernel does not reveal whether this was the cause, so
// Install tries again after any error.
const installAttempts = 16

// ReversePath reports whether the rules look up the reverse path. This lookup detects forged
// source addresses. The result is valid only after a call of Install.
func (t *Table) ReversePath() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.config.WithoutReversePath
}

func (t *Table) install(addresses Addresses) error {
	foreign, err := t.foreign()
	if err != nil {
		return err
	}
	t.conn.AddTable(t.table)
	t.remove(foreign)
	for _, s := range t.config.allSets() {
		s.counted = s.counted && !t.config.WithoutSetCounters
		if err := t.conn.AddSet(s.of(t.table), nil); err != nil {
			return fmt.Errorf("adding set %s: %w", s.name, err)
		}
		// The transaction empties the sets and adds all elements again. It is not enough to add
		// the elements that are missing now, because another program can remove further
		// elements before the transaction starts.
		t.conn.FlushSet(s.of(t.table))
	}
	if t.config.FailurePolicy == FailOpen {
		// An existing counter keeps its value.
		t.conn.AddObj(&nftables.CounterObj{Table: t.table, Name: unevaluatedCounter})
	}
	chains := t.config.chains()
	for _, c := range chains {
		t.conn.AddChain(c.of(t.table))
	}
	t.conn.FlushTable(t.table)
	for _, c := range chains {
		for _, r := range c.rules {
			t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: c.of(t.table), Exprs: r})
		}
	}
	if err := t.commit(content{}, addresses, t.links); err != nil {
		return err
	}
	t.installed = true
	return nil
}

// SetAddresses replaces the addresses of pods in one transaction. The caller must have called
// Install.
func (t *Table) SetAddresses(addresses Addresses) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.commit(t.now, addresses, t.links)
}

// SetLinks replaces the links in one transaction. If SetLinks is called before Install,
// Install adds these links.
func (t *Table) SetLinks(links Links) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.installed {
		t.links = links
		return nil
	}
	return t.commit(t.now, t.addresses, links)
}

func (t *Table) commit(from content, addresses Addresses, links Links) error {
	to := contentOf(addresses, links)
	if err := change(t.conn, t.table, from, to); err != nil {
		return err
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("changing table inet %s: %w", tableName, err)
	}
	t.now, t.addresses, t.links = to, addresses, links
	return nil
}

// foreign contains the objects in the table that do not belong to Sluice. An object with the name
// of a Sluice object is also foreign if it has another type or another hook.
type foreign struct {
	chains  []*nftables.Chain
	sets    []*nftables.Set
	objects []nftables.Obj
}

// remove adds commands to the transaction to remove the foreign objects in f. If f contains any
// objects, the transaction first removes all rules, because the kernel does not remove an object
// to which a rule refers.
func (t *Table) remove(f foreign) {
	if len(f.chains)+len(f.sets)+len(f.objects) == 0 {
		return
	}
	t.conn.FlushTable(t.table)
	for _, c := range f.chains {
		t.conn.DelChain(c)
	}
	for _, s := range f.sets {
		t.conn.DelSet(s)
	}
	for _, o := range f.objects {
		t.conn.DeleteObject(o)
	}
}

// foreign returns the foreign objects in the table. The result is empty if the table does
// not exist.
func (t *Table) foreign() (foreign, error) {
	var f foreign
	exists, err := hasTable(t.conn, t.table)
	if !exists || err != nil {
		return f, err
	}
	if f.chains, err = t.foreignChains(); err != nil {
		return f, err
	}
	if f.objects, err = t.foreignObjects(); err != nil {
		return f, err
	}
	f.sets, err = t.foreignSets()
	return f, err
}

// foreignChains returns the chains in the table that do not belong to Sluice. It returns
// ErrForeignShape if a chain of Sluice has an unexpected hook or priority. If another program adds
// or removes chains during the call, the result may be wrong. A transaction with a wrong result
// fails.
func (t *Table) foreignChains() ([]*nftables.Chain, error) {
	all, err := t.conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("listing chains: %w", err)
	}
	ours := t.config.chains()
	var out []*nftables.Chain
	for _, have := range all {
		if have.Table.Name != tableName {
			continue
		}
		i := slices.IndexFunc(ours, func(c chain) bool { return c.name == have.Name })
		if i < 0 {
			out = append(out, have)
			continue
		}
		if c := ours[i]; !c.hasShapeOf(have) {
			return nil, fmt.Errorf("%w: chain %s", ErrForeignShape, c.name)
		}
	}
	return out, nil
}

// Exists reports whether the table exists in the network namespace of the calling thread.
func Exists() (bool, error) {
	c, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("opening nftables: %w", err)
	}
	_, err = c.ListTableOfFamily(tableName, nftables.TableFamilyINet)
	switch {
	case errors.Is(err, unix.ENOENT):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("finding table inet %s: %w", tableName, err)
	}
	return true, nil
}

// Uninstall removes the tables in the network namespace of the calling thread, and verifies
// that they no longer exist. As a side effect, the kernel drops all packets that wait in any
// queue of the network namespace. If the tables do not exist, Uninstall returns nil.
func Uninstall() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("opening nftables: %w", err)
	}
	return errors.Join(
		removeTable(c, &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}),
		removeTable(c, bridgeTable),
	)
}
