package engine

import (
	"context"

	"github.com/sluicenet/sluice/dataplane/conntrack"
	"github.com/sluicenet/sluice/dataplane/rule"
)

// openConnections records the mark mask and opens the conntrack table. If earlier dataplanes
// used other masks, connections may still have bits of these masks. openConnections then
// prepares the marks of these connections for the rules of this engine. Call
// openConnections before the rules are installed.
func (e *Engine) openConnections() error {
	former, err := e.config.masks.Begin(e.config.Marks)
	if err != nil {
		return err
	}
	if e.connections, err = conntrack.Open(e.config.Marks, former.Marks...); err != nil {
		return err
	}
	e.former = len(former.Marks) > 0
	if !e.former || former.Installed == e.config.Marks {
		return nil
	}
	e.config.Log.Info("replacing the marks of open connections", "markMask", e.config.Marks.Mask, "former", former.Marks)
	return e.connections.Adopt(former.Installed)
}

// reevaluate runs a walk through the open connections. Once no connection has mark bits of earlier
// dataplanes, it removes the masks of these dataplanes from the record.
func (e *Engine) reevaluate(ctx context.Context, newest func() rule.Evaluator) (conntrack.Result, error) {
	r, err := e.connections.Reevaluate(ctx, newest)
	if err != nil || !e.former || r.Former > 0 {
		return r, err
	}
	if err := e.config.masks.End(e.config.Marks); err != nil {
		e.config.Log.Error(err, "recording the mark mask failed, will retry after the next walk")
		return r, nil
	}
	e.connections.Forget()
	e.former = false
	return r, nil
}
