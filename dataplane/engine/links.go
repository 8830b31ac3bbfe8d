package engine

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// linksPause bounds how often routes are read while they keep changing. Where
// reading takes long, the pause is ten times as long as that.
const linksPause = 100 * time.Millisecond

// followLinks keeps the links of isolated pods as the routes have them, and ends
// with the finder.
func (e *Engine) followLinks() {
	ended := make(chan error, 1)
	e.watching.Go(func() {
		for {
			changed, err := e.links.Next()
			if !changed {
				ended <- err
				return
			}
			e.askLinks()
		}
	})
	for {
		select {
		case <-e.linksAsked:
		case err := <-ended:
			e.fail(err)
			return
		}
		begin := time.Now()
		if err := e.findLinks(); err != nil {
			// EINTR: routes changed while they were listed.
			if !errors.Is(err, unix.EINTR) && !errors.Is(err, os.ErrClosed) {
				e.config.Log.Error(err, "finding the links of isolated pods; trying again")
			}
			e.askLinks()
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

// askLinks has the links found again.
func (e *Engine) askLinks() {
	select {
	case e.linksAsked <- struct{}{}:
	default:
	}
}

func (e *Engine) findLinks() error {
	e.mu.Lock()
	isolated, open := e.now.Isolated.Egress, e.now.LinkLocal
	e.mu.Unlock()
	links, err := e.links.Find(isolated, open)
	if err != nil {
		return err
	}
	return e.table.SetLinks(links)
}
