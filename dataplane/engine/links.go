package engine

import (
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/link"
	"github.com/sluicenet/sluice/dataplane/report"
)

// linksPause is the minimum pause between two reads of the routes. If a read takes longer than
// a tenth of linksPause, the pause is ten times as long as the read.
const linksPause = 100 * time.Millisecond

// followLinks updates the nftables sets that contain links of pods whenever routes change. It
// returns when the finder is closed.
func (e *Engine) followLinks() {
	ended := make(chan error, 1)
	e.watching.Go(func() { ended <- forward(e.links.Next, e.linksDue) })
	for {
		select {
		case <-e.linksDue.C():
		case err := <-ended:
			e.fail(err)
			return
		}
		begin := time.Now()
		if err := e.findLinks(); err != nil {
			// Do not log EINTR, which means that routes changed while they were listed.
			if !errors.Is(err, unix.EINTR) && !errors.Is(err, os.ErrClosed) {
				e.config.Log.Error(err, "finding the links of pods failed, will retry")
			}
			e.linksDue.Set()
		}
		pause := time.NewTimer(max(linksPause, 10*time.Since(begin)))
		select {
		case <-pause.C:
		case err := <-ended:
			e.fail(err)
			return
		}
	}
}

// findLinks finds the links of pods and updates the rules that depend on these links.
func (e *Engine) findLinks() error {
	e.mu.Lock()
	g, sandboxes := e.now.Generation, e.sandboxes
	e.mu.Unlock()
	return e.setLinks(&g, sandboxes)
}

// setLinks finds the links of the pods of a generation and updates the nftables sets that
// contain these links. The `sandboxes` parameter may be nil.
func (e *Engine) setLinks(g *generation.Generation, sandboxes *report.Sandboxes) error {
	all := slices.Collect(maps.Keys(g.Names))
	links, err := e.links.Find(link.Pods{All: all, Isolated: g.Isolated, Open: g.LinkLocal})
	if err != nil {
		return err
	}
	if e.config.routed != nil {
		e.config.routed(links.Routed)
	}
	var list []report.Sandbox
	if sandboxes != nil {
		list = sandboxes.Sandboxes
	}
	e.setBridges(links.Bridges, list)
	return e.setInterfaces(&links)
}
