// Package link uses the routes of a node to find the network interfaces that lead to the
// pods of the node.
package link

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"

	rtnl "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/internal/netlink"
	"github.com/sluicenet/sluice/dataplane/ruleset"
)

// Finder finds interfaces in the network namespace of the thread that called Open.
type Finder struct {
	events *netlink.Socket
	buffer []byte
	// mu guards routes. routes is nil after Close.
	mu     sync.Mutex
	routes *rtnl.Handle
}

// eventSize is the size of the receive buffer for events, in bytes. The kernel truncates a
// longer event. Truncation is harmless, because the finder does not use the content of events.
const eventSize = 4096

// Open opens a finder. The method Next reports all changes that occur after Open has returned.
func Open() (*Finder, error) {
	routes, err := rtnl.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("reading routes: %w", err)
	}
	f := &Finder{routes: routes, buffer: make([]byte, eventSize)}
	if f.events, err = watchRoutes(); err != nil {
		routes.Close()
		return nil, fmt.Errorf("watching routes: %w", err)
	}
	return f, nil
}

// watchRoutes returns a socket that receives an event whenever a link, a route or a
// routing rule changes.
func watchRoutes() (*netlink.Socket, error) {
	s, err := netlink.Open(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	err = s.Join(
		unix.RTNLGRP_LINK,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV4_RULE,
		unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV6_RULE,
	)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close closes the finder. Afterwards, Next returns false and Find returns os.ErrClosed. A
// second call of Close does nothing.
func (f *Finder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.routes == nil {
		return nil
	}
	f.routes.Close()
	f.routes = nil
	if err := f.events.Close(); err != nil {
		return fmt.Errorf("closing the watch of routes: %w", err)
	}
	return nil
}

// Next waits until an interface, a route or a routing rule has changed, and returns true. It
// also returns true if the kernel dropped events, because a dropped event may have reported
// a change. After Close, Next returns false and a nil error. If Next cannot receive any more
// events, it returns false and an error.
func (f *Finder) Next() (bool, error) {
	_, err := f.events.Receive(f.buffer)
	switch {
	case errors.Is(err, os.ErrClosed):
		return false, nil
	case err != nil && !errors.Is(err, unix.ENOBUFS):
		return false, fmt.Errorf("watching routes: %w", err)
	default:
		return true, nil
	}
}

// Pods contains the addresses of the pods of a node. The field All must contain every address
// that the other fields contain.
type Pods struct {
	// All contains the addresses of all pods.
	All []netip.Addr
	// Isolated contains the addresses of the isolated pods by direction. Find ignores the field
	// Isolated.Known.
	Isolated ruleset.Addresses
	// Open contains the addresses of the pods that may use their link-local addresses
	// freely. A pod may occur in both Isolated and Open.
	Open []netip.Addr
}

// Links describes the interfaces of a node, and the pods to which they lead.
type Links struct {
	// The embedded ruleset.Links contains the interfaces and addresses that the rules use. Find
	// leaves its field Uplinks empty.
	ruleset.Links
	// Bridges contains the bridges that lead to isolated pods, sorted by index.
	Bridges []Bridge
	// Interfaces contains all interfaces of the node.
	Interfaces []Interface
	// Direct contains the address of each pod to which a route leads directly, without a gateway.
	// The value is the index of the interface through which the route leads.
	Direct map[netip.Addr]uint32
	// Routed contains the addresses of each pod that has its own link, in ascending order. The
	// route to such an address leads directly through the link, so the route disappears when the
	// pod's end of the link is removed.
	Routed []netip.Addr
}

// Find returns the interfaces that lead to the given pods. It also returns the addresses of the
// pods to which a route of the node leads directly.
//
// For the fields Linked, Egress and Closed, Find ignores an interface if a route through the
// interface has a gateway. Such an interface leads to other machines, so packets that arrive on it
// can have any source address. For example, if only the default route leads to a pod, Find does
// not treat the node's uplink as the link of the pod.
func (f *Finder) Find(pods Pods) (Links, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.routes == nil {
		return Links{}, fmt.Errorf("finding links: %w", os.ErrClosed)
	}
	direct := make(map[netip.Addr]uint32, len(pods.All))
	for _, a := range pods.All {
		number, err := f.leadingTo(a)
		if err != nil {
			return Links{}, err
		}
		if number != 0 {
			direct[a] = number
		}
	}
	links, err := f.routes.LinkList()
	if err != nil {
		return Links{}, fmt.Errorf("listing interfaces: %w", err)
	}
	bridges := bridgesAmong(links, numbersOf(direct, pods.Isolated.Egress, pods.Isolated.Ingress), direct)
	uplinks, err := f.uplinks()
	if err != nil {
		return Links{}, err
	}
	maps.DeleteFunc(direct, func(_ netip.Addr, number uint32) bool { _, up := uplinks[number]; return up })
	interfaces, err := f.interfaces(links, uplinks, slices.Collect(maps.Values(direct)))
	if err != nil {
		return Links{}, err
	}
	egress, open := numbersOf(direct, pods.Isolated.Egress), numbersOf(direct, pods.Open)
	linked := slices.SortedFunc(maps.Keys(direct), netip.Addr.Compare)
	return Links{
		Links: ruleset.Links{
			Linked: linked,
			Pods:   numbersOf(direct, pods.All),
			Egress: egress,
			Closed: slices.DeleteFunc(slices.Clone(egress), func(number uint32) bool {
				_, found := slices.BinarySearch(open, number)
				return found
			}),
		},
		Bridges:    bridges,
		Interfaces: interfaces,
		Direct:     direct,
		Routed: slices.DeleteFunc(slices.Clone(linked), func(a netip.Addr) bool {
			return slices.ContainsFunc(interfaces, func(i Interface) bool { return i.Index == direct[a] && i.Shared })
		}),
	}, nil
}

// numbersOf returns the indexes of the interfaces through which the routes to the given
// addresses lead, in ascending order and without duplicates. For the `direct` map, see
// bridgesAmong.
func numbersOf(direct map[netip.Addr]uint32, addresses ...[]netip.Addr) []uint32 {
	var out []uint32
	for _, a := range slices.Concat(addresses...) {
		if number, ok := direct[a]; ok {
			out = append(out, number)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// leadingTo returns the index of the interface through which the route to an address leads. If
// there is no route, or if the route is a default route or has a gateway, leadingTo returns 0.
func (f *Finder) leadingTo(a netip.Addr) (uint32, error) {
	routes, err := f.routes.RouteGetWithOptions(a.AsSlice(), &rtnl.RouteGetOptions{FIBMatch: true})
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EINVAL) {
		return 0, nil // There is no route, or its type is unreachable, prohibit or blackhole.
	}
	if err != nil {
		return 0, fmt.Errorf("finding the route to %s: %w", a, err)
	}
	if len(routes) != 1 || routes[0].Type != unix.RTN_UNICAST || leadsOn(routes[0]) {
		return 0, nil
	}
	return uint32(routes[0].LinkIndex), nil
}

// uplinks returns the indexes of the interfaces through which routes lead to machines beyond
// the directly connected networks.
func (f *Finder) uplinks() (map[uint32]struct{}, error) {
	out := map[uint32]struct{}{}
	every := &rtnl.Route{Table: unix.RT_TABLE_UNSPEC}
	for _, family := range []int{rtnl.FAMILY_V4, rtnl.FAMILY_V6} {
		err := f.routes.RouteListFilteredIter(family, every, rtnl.RT_FILTER_TABLE, func(r rtnl.Route) bool {
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

// leadsOn reports whether a route leads to machines beyond the directly connected networks.
// This is the case if the route has a gateway, has several next hops, or is a default route.
func leadsOn(r rtnl.Route) bool {
	if r.Gw != nil || r.Via != nil || len(r.MultiPath) > 0 || r.Dst == nil {
		return true
	}
	bits, _ := r.Dst.Mask.Size()
	return bits == 0
}
