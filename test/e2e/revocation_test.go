package e2e_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluicenet/sluice/test/eventually"
)

// Once a generation is acknowledged, no packet of a flow that it refuses
// passes: neither of flows that are open, whoever sends, nor of new ones. Ends
// that send all the time would notice a single one.
func TestS50RevocationIsComplete(t *testing.T) {
	t.Parallel()
	for name, allowed := range map[string]string{
		"of a pod that was not isolated": `{podSelector: {matchLabels: {app: nobody}}}`,
		"of a pod that was isolated":     `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, map[string]string{"shop/web": allowed}, "--deny", "Drop")
			like := families[0]
			one := netip.AddrPortFrom(s.address("lab/probe", like), 5000)
			two := netip.AddrPortFrom(s.address("shop/web", like), 6000)
			var ended atomic.Bool
			var running errgroup.Group
			three := netip.AddrPortFrom(two.Addr(), 6001)
			probe, web := s.socket("lab/probe", one), s.socket("shop/web", two)
			talkers := []*talker{
				{stage: s, name: "lab/probe", from: probe, to: two, arrives: web},
				{stage: s, name: "shop/web", from: web, to: one, arrives: probe},
				{stage: s, name: "lab/probe, each time anew", to: three, arrives: s.socket("shop/web", three)},
			}
			for _, e := range talkers {
				running.Go(e.hear)
				running.Go(func() error { return e.talk(&ended) })
			}
			for i := range 25 {
				s.set("shop/web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress]}`)
				s.enforce()
				for _, e := range talkers {
					e.forbid()
				}
				for _, e := range talkers {
					begin := e.said.Load()
					eventually.True(t, e.name+" tries", func() bool { return e.said.Load() > begin+20 })
				}
				var last []uint64
				for _, e := range talkers {
					last = append(last, e.sent.Load())
				}
				// What waits in a queue is judged by the tree that comes next.
				eventually.True(t, "all of it is judged", func() bool { return s.plane.status().Verdicts.Waiting == 0 })
				for i, e := range talkers {
					e.permit(last[i])
				}
				s.set("shop/web", allowed)
				s.enforce()
				for _, e := range talkers {
					begin := e.heard.Load()
					eventually.True(t, e.name+" is heard again", func() bool { return e.heard.Load() > begin })
					if n := e.wrong.Load(); n > 0 {
						t.Fatalf("change %d: %d packets of %s passed that an acknowledged generation refuses", i, n, e.name)
					}
				}
			}
			ended.Store(true)
			for _, e := range talkers {
				s.must(e.arrives.Close())
			}
			s.must(running.Wait())
		})
	}
}

// talker sends numbers, one after the other.
type talker struct {
	stage *setup
	name  string
	// from is where it sends from; nil is a socket for each number: a new flow.
	from *net.UDPConn
	to   netip.AddrPort
	// arrives is the socket at the other end.
	arrives *net.UDPConn
	// said counts numbers that were begun, sent is the last that was sent, heard
	// counts those that arrived, and wrong those that should not have.
	said, sent, heard, wrong atomic.Uint64

	mu sync.Mutex
	// forbidden are intervals of numbers that may not arrive, both ends included.
	forbidden [][2]uint64
}

func (s *setup) socket(name string, at netip.AddrPort) *net.UDPConn {
	s.t.Helper()
	var c *net.UDPConn
	s.must(s.host(name).Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	}))
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// forbid says that no number passes that is sent from now on.
func (e *talker) forbid() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forbidden = append(e.forbidden, [2]uint64{e.said.Load() + 1, ^uint64(0)})
}

// permit ends that: numbers after the given one may pass.
func (e *talker) permit(after uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forbidden[len(e.forbidden)-1][1] = after
}

func (e *talker) mayArrive(number uint64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.forbidden {
		if f[0] <= number && number <= f[1] {
			return false
		}
	}
	return true
}

func (e *talker) talk(ended *atomic.Bool) error {
	pace := time.NewTicker(500 * time.Microsecond)
	defer pace.Stop()
	for range pace.C {
		if ended.Load() {
			return nil
		}
		if err := e.say(); err != nil && !ended.Load() {
			return err
		}
	}
	return nil
}

func (e *talker) say() error {
	from := e.from
	if from == nil {
		c, err := e.stage.unconnected("lab/probe", e.to.Addr())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		from = c
	}
	number := e.said.Add(1)
	if _, err := from.WriteToUDPAddrPort(binary.BigEndian.AppendUint64(nil, number), e.to); err != nil {
		return err
	}
	e.sent.Store(number)
	return nil
}

// hear ends when the socket is closed.
func (e *talker) hear() error {
	buf := make([]byte, 8)
	for {
		_, err := e.arrives.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		e.heard.Add(1)
		if !e.mayArrive(binary.BigEndian.Uint64(buf)) {
			e.wrong.Add(1)
		}
	}
}
