// Package ruleset is the nftables table `inet sluice`: which packets of a node
// are accepted, refused or queued before a policy is looked at, and what becomes
// of a verdict. docs/packet-path.md explains it rule by rule.
//
// Removing any base chain of a network namespace drops every packet that waits
// in any of its queues. So base chains are made once and stay until Uninstall;
// everything else changes in one transaction.
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

// ErrForeignShape: a table of our name exists in which a chain of ours hangs on
// another hook or priority. That cannot be changed in place.
var ErrForeignShape = errors.New("table inet sluice exists with other base chains: remove it with `sluice dataplane --uninstall` first")

// Deny is how a refused packet ends.
type Deny string

// The ways to refuse. In both the packet goes nowhere.
const (
	// Drop says nothing: the sender waits.
	Drop Deny = "Drop"
	// Reject tells the sender at once: TCP reset, ICMP administratively
	// prohibited for every other protocol.
	Reject Deny = "Reject"
)

// FailurePolicy is what happens to packets that no worker can take.
type FailurePolicy string

// The failure policies. Flows that were accepted go on in both.
const (
	// FailClosed drops them: no worker, no new flows for isolated pods.
	FailClosed FailurePolicy = "Closed"
	// FailOpen lets them pass, each packet on its own: once workers listen again,
	// the flow is judged.
	FailOpen FailurePolicy = "Open"
)

// Config is what the rules depend on. The zero value is not valid.
type Config struct {
	Marks Marks
	// QueueBase is the first queue; Queues of them follow each other.
	QueueBase, Queues uint16
	FailurePolicy     FailurePolicy
	Deny              Deny
	Queueing          Queueing
	// WithoutReversePath leaves out what some kernels before Linux 6.1 refuse: where
	// the route to a packet's source leads, asked outside of prerouting.
	WithoutReversePath bool
}

// Table is the table in the network namespace of the thread that opened it. It
// is safe for concurrent use.
type Table struct {
	mu     sync.Mutex
	conn   *nftables.Conn
	table  *nftables.Table
	config Config
	// installed: the table was made and now is what its sets hold.
	installed bool
	now       content
	isolated  Isolated
	links     Links
	// port is the netlink port of conn, by which events of our own are known.
	port uint32
}

// Open connects to the kernel and changes nothing.
func Open(config Config) (*Table, error) {
	t := &Table{table: &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}, config: config}
	var err error
	t.conn, err = nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		t.port = c.PID()
		return nil
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

// Install makes the table be what it has to be, whatever it was before, in one
// transaction: packets see the old table or the new one. Base chains that exist
// are kept, and with them all packets that wait in queues.
func (t *Table) Install(isolated Isolated) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for attempt := 1; ; attempt++ {
		err := t.install(isolated)
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.config.WithoutReversePath = true
		}
		if err == nil || errors.Is(err, ErrForeignShape) || attempt == installAttempts {
			return err
		}
	}
}

// installAttempts is how often Install tries. It looks at the table first, and
// its transaction fails where somebody else has changed it since. The errors of
// looking do not tell that from others.
const installAttempts = 16

// ReversePath says, after Install, whether the kernel can find forged sources.
func (t *Table) ReversePath() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.config.WithoutReversePath
}

func (t *Table) install(isolated Isolated) error {
	before, foreign, err := t.read()
	if err != nil {
		return err
	}
	t.conn.AddTable(t.table)
	t.remove(foreign)
	for _, s := range sets() {
		if err := t.conn.AddSet(s.of(t.table), nil); err != nil {
			return fmt.Errorf("adding set %s: %w", s.name, err)
		}
	}
	if t.config.FailurePolicy == FailOpen {
		// One that exists keeps its count.
		t.conn.AddObj(&nftables.CounterObj{Table: t.table, Name: unjudged})
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
	if err := t.commit(before, isolated, t.links); err != nil {
		return err
	}
	t.installed = true
	return nil
}

// SetIsolated changes which pods are isolated, in one transaction, after
// Install.
func (t *Table) SetIsolated(isolated Isolated) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.commit(t.now, isolated, t.links)
}

// SetLinks changes by which interfaces isolated pods send, in one transaction.
// Before Install it says what that begins with.
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

// foreign is what somebody else put into our table, or into the place of
// something of ours.
type foreign struct {
	chains  []*nftables.Chain
	sets    []*nftables.Set
	objects []nftables.Obj
}

// remove adds to the transaction that foreign things go. First all rules go,
// because a chain, a set or an object that some rule names cannot.
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

// read gives what our sets hold, and what of the table is not ours; nothing
// when there is no table.
func (t *Table) read() (content, foreign, error) {
	_, err := t.conn.ListTableOfFamily(tableName, nftables.TableFamilyINet)
	if errors.Is(err, unix.ENOENT) {
		return content{}, foreign{}, nil
	}
	if err != nil {
		return nil, foreign{}, fmt.Errorf("finding table inet %s: %w", tableName, err)
	}
	var f foreign
	if f.chains, err = t.foreignChains(); err != nil {
		return nil, foreign{}, err
	}
	if f.objects, err = t.foreignObjects(); err != nil {
		return nil, foreign{}, err
	}
	now, others, err := readContent(t.conn, t.table)
	f.sets = others
	return now, f, err
}

// foreignChains gives the chains of our table that are not ours. The error is
// ErrForeignShape where a chain of ours has another hook. Some may be missing,
// or made while this is looked at: then the transaction fails.
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
		c := ours[i]
		if (have.Hooknum == nil) != (c.hook == nil) ||
			c.hook != nil && (*have.Hooknum != *c.hook || have.Priority == nil || *have.Priority != c.priority) {
			return nil, fmt.Errorf("%w: chain %s", ErrForeignShape, c.name)
		}
	}
	return out, nil
}

// Uninstall removes the table and proves that it is gone. Packets that wait in
// any queue of the network namespace are dropped by the kernel. The error is
// nil when there was no table.
func Uninstall() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("opening nftables: %w", err)
	}
	if _, err := c.ListTableOfFamily(tableName, nftables.TableFamilyINet); errors.Is(err, unix.ENOENT) {
		return nil
	}
	c.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	if err := c.Flush(); err != nil {
		return fmt.Errorf("removing table inet %s: %w", tableName, err)
	}
	if _, err := c.ListTableOfFamily(tableName, nftables.TableFamilyINet); !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing table inet %s: it is still there (%w)", tableName, err)
	}
	return nil
}
