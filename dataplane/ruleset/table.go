// Package ruleset manages the nftables table `inet sluice`. The rules in this table
// accept, drop or queue a node's packets, and carry out the verdicts of the workers. On a
// node with isolated pods on a bridge, it also manages the table `bridge sluice`.
// docs/packet-path.md explains each rule.
//
// When a base chain is removed, the kernel drops all packets that wait in any queue of the
// network namespace. So base chains are created once and stay until Uninstall. All other
// changes are made in single transactions.
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

// ErrForeignShape is returned if the table exists and one of its base chains has another
// hook or priority than expected. Neither can be changed in place.
var ErrForeignShape = errors.New("table inet sluice exists with other base chains: remove it with `sluice dataplane --uninstall` first")

// Deny states what the rules do with a denied packet.
type Deny string

// The two ways to deny. In both cases the packet is discarded.
const (
	// Drop sends nothing to the sender, which waits for its own timeout.
	Drop Deny = "Drop"
	// Reject sends a TCP reset to the sender, or for other protocols the ICMP error
	// "administratively prohibited".
	Reject Deny = "Reject"
)

// FailurePolicy states what happens to packets that need a verdict while no worker can
// evaluate them.
type FailurePolicy string

// The failure policies. With both, accepted connections continue.
const (
	// FailClosed drops the packets. Isolated pods get no new flows until a worker runs.
	FailClosed FailurePolicy = "Closed"
	// FailOpen accepts the packets but does not mark their connections. So the flow is
	// evaluated as soon as a worker runs.
	FailOpen FailurePolicy = "Open"
)

// Config has the parameters of the rules. The zero value is not valid.
type Config struct {
	Marks Marks
	// QueueBase is the number of the first queue. Queues is the number of queues. The
	// queue numbers are consecutive.
	QueueBase, Queues uint16
	FailurePolicy     FailurePolicy
	Deny              Deny
	Queueing          Queueing
	// WithoutReversePath omits the rules that look up the reverse path. Some kernels
	// before Linux 6.1 accept such rules only in the prerouting hook.
	WithoutReversePath bool
	// Hold sends first packets of unknown pods to the hold queue.
	Hold bool
}

// Table manages the nftables table in the network namespace of the thread that called
// Open. It is safe for concurrent use.
type Table struct {
	mu     sync.Mutex
	conn   *nftables.Conn
	table  *nftables.Table
	config Config
	// installed is set when the table has been installed. From then on, now is the content
	// of the sets.
	installed bool
	now       content
	isolated  Isolated
	links     Links
	// bridged is the content of the sets of the bridge table, or nil while there is no such
	// table.
	bridged content
	// port is the netlink port of conn. It identifies events about changes that this Table
	// made.
	port uint32
}

// receiveBuffer is the size in bytes of the buffer for the kernel's replies to one
// transaction.
const receiveBuffer = 4 << 20

// Open connects to the kernel. It changes nothing.
func Open(config Config) (*Table, error) {
	t := &Table{table: &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}, config: config}
	var err error
	t.conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		t.port = c.PID()
		// The kernel returns each added rule, and an acknowledgement, before the
		// transaction ends.
		return c.SetReadBuffer(receiveBuffer)
	}))
	if err != nil {
		return nil, fmt.Errorf("opening nftables: %w", err)
	}
	return t, nil
}

// Close disconnects from the kernel. The table stays.
func (t *Table) Close() error {
	if err := t.conn.CloseLasting(); err != nil {
		return fmt.Errorf("closing nftables: %w", err)
	}
	return nil
}

// SetQueues sets the queues of the next Install. Until then, no other method may change the
// table.
func (t *Table) SetQueues(q Queues) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.config.QueueBase, t.config.Queues = q.Base, q.Count
	t.installed = false
}

// Install creates the table, or corrects an existing table, in one transaction. So each
// packet is processed either by the old table or by the new one. Existing base chains are
// kept, so that the kernel does not drop queued packets.
func (t *Table) Install(isolated Isolated) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for attempt := 1; ; attempt++ {
		err := t.install(isolated)
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

// installAttempts is the maximum number of attempts by Install. An attempt first reads the
// table. If another program changes the table after this read, the transaction can fail.
// The kernel's errors do not distinguish this case from others.
const installAttempts = 16

// ReversePath reports whether the rules look up the reverse path, which finds forged
// source addresses. The result is valid only after Install.
func (t *Table) ReversePath() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.config.WithoutReversePath
}

func (t *Table) install(isolated Isolated) error {
	foreign, err := t.foreign()
	if err != nil {
		return err
	}
	t.conn.AddTable(t.table)
	t.remove(foreign)
	for _, s := range sets() {
		if err := t.conn.AddSet(s.of(t.table), nil); err != nil {
			return fmt.Errorf("adding set %s: %w", s.name, err)
		}
		// The transaction adds all elements again, not only the elements that are missing
		// now, because another program can remove elements before the transaction starts.
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
	if err := t.commit(content{}, isolated, t.links); err != nil {
		return err
	}
	t.installed = true
	return nil
}

// SetIsolated replaces the isolated addresses in one transaction. Install must be called
// first.
func (t *Table) SetIsolated(isolated Isolated) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.commit(t.now, isolated, t.links)
}

// SetLinks replaces the interfaces that lead to isolated pods in one transaction. If it is
// called before Install, Install uses these interfaces.
func (t *Table) SetLinks(links Links) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.installed {
		t.links = links
		return nil
	}
	return t.commit(t.now, t.isolated, links)
}

func (t *Table) commit(from content, isolated Isolated, links Links) error {
	to := contentOf(isolated, links)
	if err := change(t.conn, t.table, from, to); err != nil {
		return err
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("changing table inet %s: %w", tableName, err)
	}
	t.now, t.isolated, t.links = to, isolated, links
	return nil
}

// foreign contains the objects in the table that do not belong to Sluice, or that have the
// name of a Sluice object but another type or hook.
type foreign struct {
	chains  []*nftables.Chain
	sets    []*nftables.Set
	objects []nftables.Obj
}

// remove adds the removal of foreign objects to the transaction. It first removes all
// rules, because the kernel does not remove an object to which a rule refers.
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
// ErrForeignShape if a chain of Sluice has an unexpected hook or priority. If another
// program adds or removes chains during the call, the result may be wrong. In this case
// the transaction fails.
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

// Uninstall removes the tables and verifies that they no longer exist. The kernel drops all
// packets that wait in any queue of the network namespace. If there is no table, Uninstall
// returns nil.
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
