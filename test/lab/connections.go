package lab

import (
	"fmt"

	"github.com/ti-mo/conntrack"
)

// FlushConnections deletes all connection tracking entries of the host. The command `conntrack
// -F` does the same.
func (h *Host) FlushConnections() error {
	return h.tracking("flushing", func(c *conntrack.Conn) error { return c.Flush() })
}

// Connections returns all connection tracking entries of the host.
func (h *Host) Connections() ([]conntrack.Flow, error) {
	var out []conntrack.Flow
	err := h.tracking("listing", func(c *conntrack.Conn) (err error) {
		out, err = c.Dump(nil)
		return err
	})
	return out, err
}

func (h *Host) tracking(doing string, what func(*conntrack.Conn) error) error {
	err := h.Do(func() error {
		c, err := conntrack.Dial(nil)
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		return what(c)
	})
	if err != nil {
		return fmt.Errorf("%s connections of %s: %w", doing, h.name, err)
	}
	return nil
}
