package lab

import (
	"fmt"

	"github.com/vishvananda/netlink"
)

// Received returns the number of packets that the host has received over its links. Packets that
// the host has sent to itself do not count.
func (h *Host) Received() (uint64, error) {
	var total uint64
	err := h.Do(func() error {
		links, err := netlink.LinkList()
		if err != nil {
			return fmt.Errorf("listing the links of %s: %w", h.name, err)
		}
		for _, l := range links {
			if s := l.Attrs().Statistics; s != nil && l.Attrs().Name != "lo" {
				total += s.RxPackets
			}
		}
		return nil
	})
	return total, err
}
