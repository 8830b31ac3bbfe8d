package hold

import (
	"maps"
	"net/netip"
	"time"
)

const (
	// recentLimit is the largest number of addresses that are stored.
	recentLimit = 4096
	// recentTime is the time for which an address is stored.
	recentTime = 30 * time.Second
)

// recent is a set of addresses. Each address stays in the set for the time recentTime.
type recent map[netip.Addr]time.Time

// add adds an address for the time recentTime. It returns false if the set is full.
func (r recent) add(a netip.Addr, now time.Time) bool {
	if _, ok := r[a]; !ok && len(r) >= recentLimit {
		maps.DeleteFunc(r, func(_ netip.Addr, until time.Time) bool { return !now.Before(until) })
		if len(r) >= recentLimit {
			return false
		}
	}
	r[a] = now.Add(recentTime)
	return true
}

func (r recent) contains(a netip.Addr, now time.Time) bool {
	until, ok := r[a]
	return ok && now.Before(until)
}
