// Package ruleset manages the nftables table `inet sluice`. Its rules accept, drop
// or queue a node's packets, and carry out the verdicts of the workers.
// docs/packet-path.md explains them one by one.
//
// When a base chain is removed, the kernel drops every packet that waits in any
// queue of the network namespace. So base chains are created once and stay until
// Uninstall. Everything else changes in one transaction.
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

// ErrForeignShape is the error if the table exists and one of our chains in it has
// another hook or priority, which cannot be changed in place.
var ErrForeignShape = errors.New("table inet sluice exists with other base chains: remove it with `sluice dataplane --uninstall` first")

// Deny is what happens to a denied packet.
type Deny string

// The ways to deny. In both cases the packet is discarded.
const (
	// Drop sends nothing to the sender, which waits for its own timeout.
	Drop Deny = "Drop"
	// Reject sends a TCP reset to the sender, or for other protocols the ICMP error
	// "administratively prohibited".
	Reject Deny = "Reject"
)

// FailurePolicy is what happens to packets that need a verdict while no worker can
// evaluate them.
type FailurePolicy string

// The failure policies. Accepted connections continue with both.
const (
	// FailClosed drops the packets. Isolated pods have no new flows until a worker
	// is running.
	FailClosed FailurePolicy = "Closed"
	// FailOpen accepts each packet without marking its connection. So the flow is
	// evaluated once a worker is running.
	FailOpen FailurePolicy = "Open"
)

// Config has the parameters of the rules. The zero value is not valid.
type Config struct {
	Marks Marks
	// QueueBase is the number of the first queue. There are Queues queues with
	// consecutive numbers.
	QueueBase, Queues uint16
	FailurePolicy     FailurePolicy
	Deny              Deny
	Queueing          Queueing
	// WithoutReversePath omits the lookups of the reverse path, which some kernels
	// before Linux 6.1 do not accept outside of prerouting.
	WithoutReversePath bool
}

// Table is the table in the network namespace of the thread that opened it. It
// is safe for concurrent use.
type Table struct {
	mu     sync.Mutex
	conn   *nftables.Conn
	table  *nftables.Table
	config Config
	// installed is set once the table is installed. now is then the content of its
	// sets.
	installed bool
	now       content
	isolated  Isolated
	links     Links
	// port is the netlink port of conn. Events with this port are about our own
	// changes.
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

// Install creates the table, or corrects it if it exists, in one transaction: a
// packet meets either the old table or the new one. Existing base chains are kept,
// so that packets in queues are not dropped.
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

// installAttempts is the maximum number of attempts of Install. An attempt reads the
// table first, and its transaction can fail if another program has changed the
// table since. The errors do not distinguish this case from others.
const installAttempts = 16

// ReversePath reports whether the kernel accepts lookups of the reverse path, by
// which forged sources are found. It is valid after Install.
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
	if err := t.commit(before, isolated, t.links); err != nil {
		return err
	}
	t.installed = true
	return nil
}

// SetIsolated replaces the isolated pods in one transaction. Install must come
// first.
func (t *Table) SetIsolated(isolated Isolated) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.commit(t.now, isolated, t.links)
}

// SetLinks replaces the interfaces that lead to isolated pods, in one transaction.
// Before Install, it sets the interfaces that Install starts with.
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

// foreign has the objects that another program added to our table, or that have the
// name of one of ours but another shape.
type foreign struct {
	chains  []*nftables.Chain
	sets    []*nftables.Set
	objects []nftables.Obj
}

// remove adds the removal of foreign objects to the transaction. It removes all
// rules first, because an object that a rule refers to cannot be removed.
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

// read returns the content of our sets, and the objects in the table that are not
// ours. Both are empty if there is no table.
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

// foreignChains returns the chains in our table that are not ours. The error is
// ErrForeignShape if one of our chains has another hook or priority. If another
// program adds or removes chains meanwhile, the result may be wrong, and then the
// transaction fails.
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

// Uninstall removes the table and verifies that it is gone. The kernel drops the
// packets that wait in any queue of the network namespace. It is not an error if
// there was no table.
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
		return fmt.Errorf("removing table inet %s: it still exists (%w)", tableName, err)
	}
	return nil
}
