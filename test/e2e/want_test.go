package e2e_test

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
)

// refusal is how long silence has to last that is a refusal: longer than TCP
// waits before it sends its first packet again.
const refusal = 1200 * time.Millisecond

// attempt is one connection to open.
type attempt struct {
	line     string
	from     *lab.Host
	protocol flow.Protocol
	src      netip.Addr
	dst      netip.AddrPort
	server   *lab.Server
	allowed  bool
	// mute: an ICMP error would not find back. It says what the packet looked
	// like behind the translation of a connection that was never made.
	mute bool
}

// want opens connections, one per line in both families:
//
//	shop/web -> shop/db TCP 5432 allowed
//	shop/web -> service:db refused
//
// is from whom, to whom, and what becomes of it. An end is a pod, node:NAME,
// outside, or an address of the node or the world: ADDRESS@END. A refused
// connection reaches no server.
func (s *stage) want(lines string) {
	s.t.Helper()
	var allowed, refused []attempt
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		for _, a := range s.attempts(line) {
			if a.allowed {
				allowed = append(allowed, a)
			} else {
				refused = append(refused, a)
			}
		}
	}
	s.try(allowed)
	before := s.served()
	s.try(refused)
	for _, a := range refused {
		if a.server != nil && a.server.Served() != before[a.server] {
			s.t.Errorf("%s: the server at %s was reached", a.line, a.dst)
		}
	}
}

func (s *stage) served() map[*lab.Server]uint64 {
	all := map[*lab.Server]uint64{}
	for _, server := range s.servers {
		all[server] = server.Served()
	}
	return all
}

func (s *stage) try(all []attempt) {
	s.t.Helper()
	var running sync.WaitGroup
	for _, a := range all {
		running.Go(func() {
			if wrong := s.probe(a); wrong != "" {
				s.t.Errorf("%s (%s): %s", a.line, a.dst, wrong)
			}
		})
	}
	running.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
}

func (s *stage) probe(a attempt) (wrong string) {
	timeout := never
	if !a.allowed && (s.silent || a.mute) {
		timeout = refusal
	}
	got, err := a.from.Probe(s.t.Context(), a.protocol, a.src, a.dst, timeout)
	want := lab.Refused
	switch {
	case a.allowed:
		want = lab.Connected
	case s.silent:
		want = lab.TimedOut
	}
	switch {
	case err != nil:
		return err.Error()
	case got == want, a.mute && !a.allowed && got == lab.TimedOut:
		return ""
	default:
		return "got " + got.String() + ", want " + want.String()
	}
}

func (s *stage) attempts(line string) []attempt {
	s.t.Helper()
	fields := strings.Fields(line)
	if len(fields) < 4 || fields[1] != "->" {
		s.t.Fatalf("stage: %q: want FROM -> TO [PROTOCOL [PORT]] allowed|refused", line)
	}
	last := fields[len(fields)-1]
	if last != "allowed" && last != "refused" {
		s.t.Fatalf("stage: %q: want allowed or refused", line)
	}
	var out []attempt
	for _, like := range families {
		a := attempt{line: line, allowed: last == "allowed"}
		src, ok := s.end(fields[0], like)
		if !ok {
			continue
		}
		a.from, a.src = src.host, src.bound
		if name, ok := strings.CutPrefix(fields[2], "service:"); ok {
			service, ok := s.services[name+like.String()]
			if !ok {
				s.t.Fatalf("stage: %q: no such service", line)
			}
			a.protocol, a.dst = service.Protocol, service.Address
			a.server = s.serverAt(s.owner(service.Backend.Addr()), service.Protocol, service.Backend)
			a.mute = a.protocol != flow.TCP
			out = append(out, a)
			continue
		}
		dst, ok := s.end(fields[2], like)
		if !ok {
			continue
		}
		var err error
		a.protocol, err = flow.ParseProtocol(fields[3])
		s.must(err)
		if a.protocol == flow.ICMP && like.Is6() {
			a.protocol = flow.ICMPv6
		}
		var port uint16
		if a.protocol.HasPorts() {
			port = s.number(fields[4])
		}
		a.dst = netip.AddrPortFrom(dst.address, port)
		a.server = s.serverAt(dst.host, a.protocol, a.dst)
		out = append(out, a)
	}
	if len(out) == 0 {
		s.t.Fatalf("stage: %q: no address family in common", line)
	}
	return out
}

// end is who sends or receives, by an address of one family.
type end struct {
	host    *lab.Host
	address netip.Addr
	// bound is valid when a sender has to use this address.
	bound netip.Addr
}

func (s *stage) end(text string, like netip.Addr) (end, bool) {
	s.t.Helper()
	if literal, name, ok := strings.Cut(text, "@"); ok {
		a, err := netip.ParseAddr(literal)
		s.must(err)
		return end{s.host(name), a, a}, a.Is4() == like.Is4()
	}
	return end{host: s.host(text), address: s.address(text, like)}, true
}

// owner gives the pod that has an address.
func (s *stage) owner(a netip.Addr) *lab.Host {
	s.t.Helper()
	for _, p := range s.pods {
		if got, ok := p.Address(a); ok && got == a {
			return p.Host
		}
	}
	s.t.Fatalf("stage: nobody has %s", a)
	return nil
}
