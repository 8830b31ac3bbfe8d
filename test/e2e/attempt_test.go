package e2e_test

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/stage"
)

// denialTime is the time after which a connection attempt without a reply counts as denied. It is
// longer than one second, because TCP retransmits its first packet after one second.
const denialTime = 1200 * time.Millisecond

// attempt describes one connection that a test opens, with the expected result.
type attempt struct {
	stage.Expectation
	from     *lab.Host
	protocol flow.Protocol
	src      netip.Addr
	dst      netip.AddrPort
	server   *lab.Server
	// mute means that the client receives no ICMP error when its packet is rejected. The error
	// quotes the packet with its translated address. The kernel cannot translate this address
	// back, because connection tracking has no entry for the packet.
	mute bool
}

// want opens connections over both address families and checks the results. Each line of the
// parameter `lines` describes a connection and its expected result:
//
//	shop/web -> shop/db TCP 5432 allowed
//
// A source or destination is the name of a pod, `node:NAME` or `outside`. To use a specific address
// of a node or of the outside host, write `ADDRESS@HOST`. A destination can also be a Service, as
// `service:NAME`. The line then contains no protocol. The test fails if a result differs from the
// expected result, or if a packet of a denied connection reaches a server.
func (s *fixture) want(lines string) {
	s.t.Helper()
	var allowed, denied []attempt
	for _, e := range stage.Expectations(s.t, lines) {
		if e.Allowed {
			allowed = append(allowed, s.attempts(e)...)
		} else {
			denied = append(denied, s.attempts(e)...)
		}
	}
	s.try(allowed)
	before := s.served()
	s.try(denied)
	for _, a := range denied {
		if a.server != nil && a.server.Served() != before[a.server] {
			s.t.Errorf("%s: the server at %s was reached", a.Line, a.dst)
		}
	}
}

func (s *fixture) served() map[*lab.Server]uint64 {
	all := map[*lab.Server]uint64{}
	for _, server := range s.servers {
		all[server] = server.Served()
	}
	return all
}

func (s *fixture) try(all []attempt) {
	s.t.Helper()
	var running sync.WaitGroup
	for _, a := range all {
		running.Go(func() {
			if wrong := s.probe(&a); wrong != "" {
				s.t.Errorf("%s (%s): %s", a.Line, a.dst, wrong)
			}
		})
	}
	running.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
}

// probe opens a connection. It returns "" if the result is the expected one. Otherwise it returns a
// message that contains the actual and the expected result.
func (s *fixture) probe(a *attempt) string {
	timeout := limit
	if !a.Allowed && (s.silent || a.mute) {
		timeout = denialTime
	}
	got, err := a.from.Probe(s.t.Context(), a.protocol, a.src, a.dst, timeout)
	want := lab.Rejected
	switch {
	case a.Allowed:
		want = lab.Connected
	case s.silent:
		want = lab.TimedOut
	}
	switch {
	case err != nil:
		return err.Error()
	case got == want, a.mute && !a.Allowed && got == lab.TimedOut:
		return ""
	default:
		return "got " + got.String() + ", want " + want.String()
	}
}

// startServers starts the servers for the connections in the parameter `lines`. It opens no
// connection.
func (s *fixture) startServers(lines string) {
	s.t.Helper()
	for _, e := range stage.Expectations(s.t, lines) {
		s.attempts(e)
	}
}

// attempts returns one connection attempt for each address family in which both the source and
// the destination have an address. It also starts the servers.
func (s *fixture) attempts(e stage.Expectation) []attempt {
	s.t.Helper()
	var out []attempt
	for _, like := range families {
		a := attempt{Expectation: e, protocol: e.Protocol}
		src, ok := s.end(e.From, like)
		if !ok {
			continue
		}
		a.from, a.src = src.host, src.bound
		if name, ok := strings.CutPrefix(e.To, "service:"); ok {
			s.toService(&a, name, like)
		} else if !s.toEnd(&a, like) {
			continue
		}
		out = append(out, a)
	}
	if len(out) == 0 {
		s.t.Fatalf("%q: no address family in common", e.Line)
	}
	return out
}

func (s *fixture) toService(a *attempt, name string, like netip.Addr) {
	s.t.Helper()
	service, ok := s.services[name+like.String()]
	if !ok {
		s.t.Fatalf("%q: there is no such service", a.Line)
	}
	a.protocol, a.dst = service.Protocol, service.Address
	a.server = s.serverAt(s.owner(service.Backend.Addr()), service.Protocol, service.Backend)
	a.mute = a.protocol != flow.TCP
}

func (s *fixture) toEnd(a *attempt, like netip.Addr) bool {
	s.t.Helper()
	dst, ok := s.end(a.To, like)
	if !ok {
		return false
	}
	if a.EveryProtocol {
		s.t.Fatalf("%q: want a protocol", a.Line)
	}
	if a.protocol == flow.ICMP && like.Is6() {
		a.protocol = flow.ICMPv6
	}
	a.dst = netip.AddrPortFrom(dst.address, a.Port)
	a.server = s.serverAt(dst.host, a.protocol, a.dst)
	return true
}

// end is the source or the destination of a connection, with one address.
type end struct {
	host    *lab.Host
	address netip.Addr
	// bound is the source address that a client must use. If this field is invalid, the kernel
	// chooses the source address of the client.
	bound netip.Addr
}

func (s *fixture) end(text string, like netip.Addr) (end, bool) {
	s.t.Helper()
	if literal, name, ok := strings.Cut(text, "@"); ok {
		a, err := netip.ParseAddr(literal)
		s.must(err)
		return end{s.host(name), a, a}, a.Is4() == like.Is4()
	}
	return end{host: s.host(text), address: s.address(text, like)}, true
}

// owner returns the pod that has the address a.
func (s *fixture) owner(a netip.Addr) *lab.Host {
	s.t.Helper()
	for _, p := range s.pods {
		if got, ok := p.Address(a); ok && got == a {
			return p.Host
		}
	}
	s.t.Fatalf("no pod has %s", a)
	return nil
}
