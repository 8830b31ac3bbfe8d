// Package link finds the interfaces by which a node's pods send, out of the
// node's routes.
package link

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	rtnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// Finder reads routes in the network namespace of the thread that opened it.
type Finder struct {
	events *rtnetlink.Conn
	closed atomic.Bool
	// mu guards routes, which are nil once the finder is closed.
	mu     sync.Mutex
	routes *netlink.Handle
}

// Open connects to the kernel. Changes from now on are heard.
func Open() (*Finder, error) {
	routes, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("reading routes: %w", err)
	}
	f := &Finder{routes: routes}
	if f.events, err = rtnetlink.Dial(unix.NETLINK_ROUTE, nil); err != nil {
		routes.Close()
		return nil, fmt.Errorf("listening for changes of routes: %w", err)
	}
	for _, group := range []uint32{
		unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
		unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE,
	} {
		if err := f.events.JoinGroup(group); err != nil {
			return nil, errors.Join(fmt.Errorf("listening for changes of routes: %w", err), f.Close())
		}
	}
	return f, nil
}

// Close ends Next. Find gives os.ErrClosed from now on. A second Close does
// nothing.
func (f *Finder) Close() error {
	if f.closed.Swap(true) {
		return nil
	}
	f.mu.Lock()
	f.routes.Close()
	f.routes = nil
	f.mu.Unlock()
	if err := f.events.Close(); err != nil {
		return fmt.Errorf("closing events of routes: %w", err)
	}
	return nil
}

// Next waits until some route or interface has changed, or may have. It returns
// false once the finder is closed or can hear no more, with the reason of the
// latter.
func (f *Finder) Next() (bool, error) {
	_, err := f.events.Receive()
	switch {
	case f.closed.Load():
		return false, nil
	case err != nil && !errors.Is(err, unix.ENOBUFS):
		return false, fmt.Errorf("listening for changes of routes: %w", err)
	default:
		return true, nil
	}
}

// Find gives the links of pods that are isolated for egress, by their addresses
// and by those of pods whose link-local addresses are open. A pod may be both.
//
// An interface by which a route goes on to a gateway is nobody's link: it leads
// to other machines, and what comes in by it may come from anywhere. So a pod
// without a route of its own does not make a link of the node's uplink.
func (f *Finder) Find(isolated, open []netip.Addr) (ruleset.Links, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.routes == nil {
		return ruleset.Links{}, fmt.Errorf("finding links: %w", os.ErrClosed)
	}
	if len(isolated) == 0 {
		return ruleset.Links{}, nil
	}
	egress, err := f.leadingTo(isolated)
	if err != nil {
		return ruleset.Links{}, err
	}
	uplinks, err := f.uplinks()
	if err != nil {
		return ruleset.Links{}, err
	}
	maps.DeleteFunc(egress, func(number uint32, _ struct{}) bool { _, up := uplinks[number]; return up })
	shared, err := f.leadingTo(open)
	if err != nil {
		return ruleset.Links{}, err
	}
	links := ruleset.Links{Egress: slices.Sorted(maps.Keys(egress))}
	links.Closed = slices.DeleteFunc(slices.Clone(links.Egress), func(number uint32) bool { _, more := shared[number]; return more })
	return links, nil
}

// leadingTo gives the interfaces to which routes of addresses point directly.
func (f *Finder) leadingTo(addresses []netip.Addr) (map[uint32]struct{}, error) {
	out := map[uint32]struct{}{}
	for _, a := range addresses {
		routes, err := f.routes.RouteGetWithOptions(a.AsSlice(), &netlink.RouteGetOptions{FIBMatch: true})
		if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINVAL) {
			continue // No route, or one that says so.
		}
		if err != nil {
			return nil, fmt.Errorf("finding the route to %s: %w", a, err)
		}
		for _, r := range routes {
			if r.Type == unix.RTN_UNICAST && r.LinkIndex > 0 && !leadsOn(r) {
				out[uint32(r.LinkIndex)] = struct{}{}
			}
		}
	}
	return out, nil
}

// uplinks gives the interfaces by which some route leads to a gateway.
func (f *Finder) uplinks() (map[uint32]struct{}, error) {
	out := map[uint32]struct{}{}
	every := &netlink.Route{Table: unix.RT_TABLE_UNSPEC}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		err := f.routes.RouteListFilteredIter(family, every, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
			if r.Type != unix.RTN_UNICAST || !leadsOn(r) {
				return true
			}
			out[uint32(r.LinkIndex)] = struct{}{}
			for _, hop := range r.MultiPath {
				out[uint32(hop.LinkIndex)] = struct{}{}
			}
			return true
		})
		if err != nil {
			return nil, fmt.Errorf("listing routes: %w", err)
		}
	}
	return out, nil
}

// leadsOn: behind the interface there are other machines.
func leadsOn(r netlink.Route) bool {
	if r.Gw != nil || r.Via != nil || len(r.MultiPath) > 0 || r.Dst == nil {
		return true
	}
	bits, _ := r.Dst.Mask.Size()
	return bits == 0
}
