package engine

import (
	"time"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/internal/buildinfo"
)

// statusOf returns a status that contains only the configured values.
func statusOf(c Config) report.Status {
	return report.Status{
		Version:       buildinfo.Version(),
		QueueBase:     c.QueueBase,
		Queues:        c.Queues,
		FailurePolicy: string(c.FailurePolicy),
		Deny:          string(c.Deny),
		MarkMask:      c.Marks.Mask,
		TreeFormats:   tree.Formats(),
	}
}

// Status returns the current status. It does not wait for Use.
func (e *Engine) Status() (report.Status, error) {
	s := statusOf(e.config)
	s.Started = e.started
	s.Queueing = string(e.kernel.Queueing)
	s.Generation = e.acknowledged.Load()
	s.Repairs = e.repairs.Load()
	e.statusMu.Lock()
	s.Node, s.Seen, s.Pods, s.IsolatedPods = e.seen.Node, e.seen.Number, e.seen.Pods, e.seen.IsolatedPods
	s.Reevaluated, s.QueueBase = e.reevaluated, e.queues.Base
	pool, table, holder := e.pool, e.table, e.holder
	e.statusMu.Unlock()
	if holder != nil {
		s.Held = holder.Status()
	}
	s.Bridges, s.PodPackets = e.bridgesStatus(), e.podPackets()
	s.Hits, s.Flooding = e.config.Hits.Summary(), e.floods.Pods()
	entries, maximum, err := e.usage.Read()
	if err != nil {
		return s, err
	}
	s.Conntrack = &report.Conntrack{Entries: entries, Max: maximum}
	if s.Verdicts, err = pool.Stats(); err != nil || table == nil {
		return s, err
	}
	s.Unevaluated, err = table.Unevaluated()
	return s, err
}

// walkOf returns the report of a walk that ended at the given time.
func walkOf(at time.Time, r conntrack.Result) report.Walk {
	return report.Walk{
		At: at, Connections: r.Connections, Accepted: r.Accepted, Denied: r.Denied, Cleared: r.Cleared, Took: r.Took,
	}
}
