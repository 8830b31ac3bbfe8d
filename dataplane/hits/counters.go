package hits

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
)

const (
	// maxSlots is the number of counters in a lane. Slot 0 belongs to all rules for which no slot is
	// free. A lane reserves 1 MiB of address space, but it uses memory only for assigned slots.
	maxSlots = 1 << 16
	// maxRetained is the largest number of counters of rules that are not in the tree in use.
	maxRetained = 4096
	// clockInterval is the resolution of the time at which a rule was used last.
	clockInterval = time.Second
)

// Counters counts the hits of all rules of a node. All methods are safe for concurrent use.
type Counters struct {
	// clock is the current time in seconds since 1970. Workers read it instead of the time.
	clock atomic.Int64

	// mu guards the fields below.
	mu sync.Mutex
	// now returns the current time. Tests replace it.
	now func() time.Time
	// limit is the number of slots.
	limit uint32
	since time.Time
	lanes []*Lane
	// records contains the assigned slots by key. See record.key.
	records map[uint64]*record
	// used is the number of slots that have ever been assigned, including slot 0. The `free` list
	// contains those of them that can be assigned again.
	used uint32
	free []uint32
	// tables is the number of calls of Use.
	tables uint64
	// overflow is true if the latest table contains rules for which no slot was free.
	overflow bool
}

// record describes the rule that a slot belongs to, or a list of NetworkPolicies that isolate pods.
type record struct {
	// key is tree.Program.Fingerprint for a rule, and tree.Program.Isolation for a list of policies.
	key       uint64
	slot      uint32
	direction rule.Direction
	// The fields tier, policies[0] and index identify a rule. If index is noRule, the record belongs
	// to the packets that were denied because no rule matched, and the `policies` field lists the
	// policies that isolate the pod.
	tier     rule.Tier
	policies []string
	index    int
	// appeared is the time from which the rule was counted. base is the sum of the slot's counters at
	// this time.
	appeared time.Time
	base     uint64
	// table is the number of the last table that contains the rule.
	table    uint64
	unqueued bool
}

const noRule = -1

// New returns counters without lanes.
func New() *Counters {
	c := &Counters{now: time.Now, limit: maxSlots, records: map[uint64]*record{}, used: 1}
	c.since = c.now()
	c.tick()
	return c
}

// Run updates the clock of the counters until the context ends.
func (c *Counters) Run(ctx context.Context) {
	again := time.NewTicker(clockInterval)
	defer again.Stop()
	for {
		select {
		case <-again.C:
			c.tick()
		case <-ctx.Done():
			return
		}
	}
}

func (c *Counters) tick() { c.clock.Store(c.now().Unix()) }

// Lanes returns n new lanes, one for each worker, and starts to count from 0. Lanes of an earlier
// call no longer count. If c is nil, the lanes count nothing.
func (c *Counters) Lanes(n int) []*Lane {
	lanes := make([]*Lane, n)
	if c == nil {
		return lanes
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range lanes {
		lanes[i] = &Lane{clock: &c.clock, cells: make([]cell, c.limit)}
	}
	c.lanes = lanes
	c.restart()
	return lanes
}

// Restart starts to count from 0. A dataplane calls it when it takes over from another dataplane,
// which has evaluated packets in the meantime. The receiver c may be nil.
func (c *Counters) Restart() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.restart()
}

// restart starts to count from 0. The caller must hold mu.
func (c *Counters) restart() {
	c.since = c.now()
	for _, r := range c.records {
		if r.table < c.tables {
			c.remove(r)
			continue
		}
		r.appeared, r.base = c.since, c.sum(r.slot)
	}
}

// Use returns the table for an evaluator. It returns nil if the evaluator is not a *tree.Tree. When
// Use is called, no worker may use a table before the latest one. The receiver c may be nil.
func (c *Counters) Use(evaluator rule.Evaluator) *Table {
	t, ok := evaluator.(*tree.Tree)
	if c == nil || !ok {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick()
	c.tables++
	c.overflow = false
	programs := t.Programs()
	out := newTable(programs)
	for i := range programs {
		p := &programs[i]
		out.add(p.Ref|uint32(p.Direction), c.isolation(p))
		for number := range p.Len() {
			out.addRule(p, number, c.rule(p, number))
		}
	}
	c.forget()
	return out
}

// isolation returns the slot for the packets that no rule of a program matches.
func (c *Counters) isolation(p *tree.Program) uint32 {
	if p.Tier != rule.NetworkPolicyTier {
		return 0
	}
	r := c.record(p.Isolation())
	if r == nil {
		return 0
	}
	if r.policies == nil {
		r.direction, r.tier, r.policies, r.index = p.Direction, p.Tier, p.IsolatedBy(), noRule
	}
	return r.slot
}

// rule returns the slot of a rule.
func (c *Counters) rule(p *tree.Program, number int) uint32 {
	r := c.record(p.Fingerprint(number))
	if r == nil {
		return 0
	}
	if r.policies == nil {
		r.direction, r.tier, r.policies = p.Direction, p.Tier, []string{p.Rule(number).Policy}
	}
	r.index = p.Index(number)
	r.unqueued = r.unqueued || p.Unqueued
	return r.slot
}

// record returns the record with a key, and marks the record as a part of the current table. If
// there is no such record, it creates one. If no slot is free, it returns nil.
func (c *Counters) record(key uint64) *record {
	r := c.records[key]
	switch {
	case r == nil:
		slot, ok := c.take()
		if !ok {
			c.overflow = true
			return nil
		}
		r = &record{key: key, slot: slot, appeared: c.now(), base: c.sum(slot)}
		c.records[key] = r
	case r.table < c.tables:
		r.unqueued = false
	}
	r.table = c.tables
	return r
}

// take returns a free slot. If there is none, it removes the rules that are not in the table in use.
func (c *Counters) take() (slot uint32, ok bool) {
	if len(c.free) == 0 && c.used == c.limit && !c.overflow {
		c.evict(0)
	}
	if n := len(c.free); n > 0 {
		slot, c.free = c.free[n-1], c.free[:n-1]
		return slot, true
	}
	if c.used == c.limit {
		return 0, false
	}
	c.used++
	return c.used - 1, true
}

// forget limits the number of retained counters.
func (c *Counters) forget() {
	if len(c.records) > maxRetained {
		c.evict(maxRetained)
	}
}

// evict removes rules that are neither in the table that is being created nor in the table in use,
// and keeps at most n of them: the rules that left the tree last.
func (c *Counters) evict(n int) {
	var gone []*record
	for _, r := range c.records {
		// Workers may still use the table before the one that is being created.
		if r.table+1 < c.tables {
			gone = append(gone, r)
		}
	}
	slices.SortFunc(gone, func(a, b *record) int {
		return cmp.Or(cmp.Compare(b.table, a.table), cmp.Compare(a.slot, b.slot))
	})
	for _, r := range gone[min(n, len(gone)):] {
		c.remove(r)
	}
}

func (c *Counters) remove(r *record) {
	delete(c.records, r.key)
	c.free = append(c.free, r.slot)
}

// sum returns the sum of a slot's counters over all lanes.
func (c *Counters) sum(slot uint32) uint64 {
	var n uint64
	for _, l := range c.lanes {
		n += l.cells[slot].hits.Load()
	}
	return n
}
