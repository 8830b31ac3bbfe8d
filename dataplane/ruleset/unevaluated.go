package ruleset

import (
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// unevaluatedCounter is the name of the nftables counter for packets that the rules accept without
// an evaluation. The counter exists only if the failure policy is FailOpen.
const unevaluatedCounter = "unevaluated"

// counterNamed returns the expression for the nft text `counter name NAME`.
func counterNamed(name string) expr.Any {
	return &expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: name}
}

// Unevaluated returns the number of unevaluated packets from or to isolated pods. FailOpen accepts
// such a packet if no worker is running or if a queue is full. The counter keeps its value when
// the dataplane restarts, unless the failure policy changes.
func (t *Table) Unevaluated() (packets uint64, err error) {
	if t.config.FailurePolicy != FailOpen {
		return 0, nil // The table has no counter.
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// Request all objects. A request for a single object would fail if the object did not exist.
	objects, err := t.conn.GetObjects(t.table)
	if err != nil {
		return 0, fmt.Errorf("reading counter %s: %w", unevaluatedCounter, err)
	}
	for _, o := range objects {
		if counter, ok := o.(*nftables.CounterObj); ok && counter.Name == unevaluatedCounter {
			return counter.Packets, nil
		}
	}
	return 0, nil
}

// foreignObjects returns the stateful objects in the table that do not belong to Sluice.
func (t *Table) foreignObjects() ([]nftables.Obj, error) {
	all, err := t.conn.GetNamedObjects(t.table)
	if err != nil {
		return nil, fmt.Errorf("listing objects: %w", err)
	}
	return slices.DeleteFunc(all, func(o nftables.Obj) bool {
		named, ok := o.(*nftables.NamedObj)
		return ok && t.config.FailurePolicy == FailOpen && named.Name == unevaluatedCounter && named.Type == nftables.ObjTypeCounter
	}), nil
}
