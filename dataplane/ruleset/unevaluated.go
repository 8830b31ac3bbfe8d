package ruleset

import (
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// unjudged is the name of the counter of packets that FailOpen lets pass.
const unjudged = "unjudged"

// countBy: counter name NAME.
func countBy(name string) expr.Any { return &expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: name} }

// Unevaluated is how many packets of isolated pods passed without a verdict, because
// the failure policy is FailOpen and nobody listened or a queue was full: since
// the table had that policy, also over restarts.
func (t *Table) Unevaluated() (packets uint64, err error) {
	if t.config.FailurePolicy != FailOpen {
		return 0, nil // Install leaves no counter.
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// Asking for the one would fail where there is none.
	objects, err := t.conn.GetObjects(t.table)
	if err != nil {
		return 0, fmt.Errorf("reading counter %s: %w", unjudged, err)
	}
	for _, o := range objects {
		if counter, ok := o.(*nftables.CounterObj); ok && counter.Name == unjudged {
			return counter.Packets, nil
		}
	}
	return 0, nil
}

// foreignObjects gives the stateful objects of our table that are not ours.
func (t *Table) foreignObjects() ([]nftables.Obj, error) {
	all, err := t.conn.GetNamedObjects(t.table)
	if err != nil {
		return nil, fmt.Errorf("listing objects: %w", err)
	}
	return slices.DeleteFunc(all, func(o nftables.Obj) bool {
		named, ok := o.(*nftables.NamedObj)
		return ok && t.config.FailurePolicy == FailOpen && named.Name == unjudged && named.Type == nftables.ObjTypeCounter
	}), nil
}
