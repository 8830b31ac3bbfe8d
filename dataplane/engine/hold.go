package engine

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/hold"
	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/queue"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// Limits of Config.Hold.
const (
	DefaultHold = 3 * time.Second
	MaxHold     = 30 * time.Second
)

// openHolder starts to serve the hold queue. If Config.Hold is 0, it does nothing.
func (e *Engine) openHolder(queues ruleset.Queues) (*hold.Holder, error) {
	if e.config.Hold == 0 {
		return nil, nil // Without a hold queue, there is no holder.
	}
	config := hold.Config{
		Queue:    queues.Hold(),
		Marks:    e.config.Marks,
		Limit:    e.config.Hold,
		FailOpen: e.config.FailurePolicy == ruleset.FailOpen,
		Peers:    e.config.Peers,
	}
	if e.config.Events != nil {
		config.Events = e.config.Events
	}
	holder, err := hold.Open(config)
	if errors.Is(err, unix.EPERM) {
		err = fmt.Errorf("%w: %w", queue.ErrTaken, err)
	}
	if err != nil {
		return nil, err
	}
	if e.sandboxes != nil {
		holder.SetSandboxes(*e.sandboxes)
	}
	holder.SetAgentGone(e.agentGone)
	return holder, nil
}

// swap replaces the evaluator of the workers, and then the evaluator of the holder. When swap
// returns, the previous evaluator is no longer in use. The caller must hold mu.
func (e *Engine) swap(evaluator rule.Evaluator) {
	e.pool.Swap(evaluator)
	if e.holder != nil {
		e.holder.SetEvaluator(evaluator)
	}
}

// closeHolder stops serving the hold queue.
func (e *Engine) closeHolder() error {
	if e.holder == nil {
		return nil
	}
	return e.holder.Close()
}

// followHolder updates the set of uplinks in the rules when the holder finds an interface that
// does not lead to a pod. It also reports the failure of the holder.
func (e *Engine) followHolder() {
	for {
		select {
		case <-e.holder.Learned():
			if err := e.setInterfaces(nil); err != nil {
				e.config.Log.Error(err, "changing the uplinks failed, will retry")
				e.linksDue.Set()
			}
		case err := <-e.holder.Failed():
			e.fail(err)
		case <-e.untaken:
			return
		}
	}
}

// setInterfaces updates the sets of interfaces in the rules. If `found` is nil, only the learned
// interfaces have changed, and setInterfaces uses the links from its previous call.
func (e *Engine) setInterfaces(found *link.Links) error {
	e.linksMu.Lock()
	defer e.linksMu.Unlock()
	if found != nil {
		e.found = *found
	}
	links := e.found.Links
	for _, i := range e.found.Interfaces {
		if i.Uplink {
			links.Uplinks = append(links.Uplinks, i.Index)
		}
	}
	if e.holder != nil {
		if found != nil {
			e.holder.SetLinks(e.found.Interfaces)
		}
		links.Uplinks = append(links.Uplinks, e.holder.LearnedLinks()...)
	}
	return e.table.SetLinks(links)
}

// SetSandboxes replaces the sandboxes of the node.
func (e *Engine) SetSandboxes(s report.Sandboxes) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.sandboxes = &s
	// Find the links again, because the rules for pods on bridges depend on the
	// interfaces of the sandboxes.
	e.linksDue.Set()
	if e.holder == nil {
		return nil
	}
	e.holder.SetSandboxes(s)
	if !e.writes {
		return nil
	}
	// According to the new sandboxes, an address in the tree may belong to another pod.
	// Remove such addresses from the sets of known addresses.
	return e.setPods(&e.now.Generation)
}

// SetAgentGone records whether the node has no running agent. Without an agent, no further tree is
// published.
func (e *Engine) SetAgentGone(gone bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.agentGone = gone; e.holder != nil {
		e.holder.SetAgentGone(gone)
	}
}

// setPods updates the address sets in the rules. The caller must hold mu.
func (e *Engine) setPods(g *generation.Generation) error {
	if err := e.table.SetAddresses(e.podsOf(g)); err != nil {
		// The update fails if another program has modified the table, so reinstall the
		// table.
		e.config.Log.Error(err, "changing the addresses of pods failed, repairing the rules", "generation", g.Number)
		if err := e.table.Install(e.podsOf(g)); err != nil {
			return err
		}
	}
	return nil
}

// setTree releases the held packets of pods that are now known. It must be called after the
// address sets in the rules have been updated.
func (e *Engine) setTree(g *generation.Generation) {
	if e.holder == nil || g.Number == 0 {
		return
	}
	names := g.Names
	if names == nil {
		names = map[netip.Addr]string{}
	}
	e.holder.SetTree(names)
}

// podsOf returns the addresses for the address sets in the rules.
func (e *Engine) podsOf(g *generation.Generation) ruleset.Addresses {
	pods := g.Isolated
	pods.Known = slices.Collect(maps.Keys(g.Names))
	if e.holder != nil {
		disputed := e.holder.Disputed(g.Names)
		pods.Known = slices.DeleteFunc(pods.Known, func(a netip.Addr) bool { return slices.Contains(disputed, a) })
	}
	return pods
}
