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

// After the dataplane has acknowledged a generation, the node forwards no packet of a flow that
// this generation denies (S50). This applies to both directions of open flows, and to new flows.
// The test sends packets without a pause, so that it detects a single wrong packet.
func TestS50RevocationIsComplete(t *testing.T) {
	t.Parallel()
	for name, allowed := range map[string]string{
		"of a pod that was not isolated": `{podSelector: {matchLabels: {app: none}}}`,
		"of a pod that was isolated":     `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t, map[string]string{"shop/web": allowed}, "--deny", "Drop")
			like := families[0]
			one := netip.AddrPortFrom(s.address("lab/probe", like), 5000)
			two := netip.AddrPortFrom(s.address("shop/web", like), 6000)
			var ended atomic.Bool
			var running errgroup.Group
			three := netip.AddrPortFrom(two.Addr(), 6001)
			probe, web := s.socket("lab/probe", one), s.socket("shop/web", two)
			talkers := []*talker{
				{fixture: s, name: "lab/probe", from: probe, to: two, arrives: web},
				{fixture: s, name: "shop/web", from: web, to: one, arrives: probe},
				{fixture: s, name: "lab/probe, a new flow for each number", to: three, arrives: s.socket("shop/web", three)},
			}
			for _, e := range talkers {
				running.Go(e.receive)
				running.Go(func() error { return e.talk(&ended) })
			}
			for i := range 25 {
				s.set("shop/web", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress]}`)
				s.enforce()
				for _, e := range talkers {
					e.forbid()
				}
				for _, e := range talkers {
					begin := e.begun.Load()
					eventually.True(t, e.name+" sends", func() bool { return e.begun.Load() > begin+20 })
				}
				var last []uint64
				for _, e := range talkers {
					last = append(last, e.sent.Load())
				}
				// Wait until the queues are empty, because packets that wait in a queue are
				// evaluated with the next tree.
				eventually.True(t, "the queues are empty", func() bool { return s.plane.status().Verdicts.Waiting == 0 })
				for i, e := range talkers {
					e.permit(last[i])
				}
				s.set("shop/web", allowed)
				s.enforce()
				for _, e := range talkers {
					begin := e.received.Load()
					eventually.True(t, e.name+" arrives again", func() bool { return e.received.Load() > begin })
					if n := e.wrong.Load(); n > 0 {
						t.Fatalf("change %d: %d packets of %s passed although an acknowledged generation denies them", i, n, e.name)
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

// talker sends consecutive numbers from one socket to another. It counts the numbers that
// arrive, and separately the forbidden numbers that arrive.
type talker struct {
	fixture *fixture
	name    string
	// The `from` field is the socket from which the talker sends. If it is nil, the talker opens a
	// new socket for each number, so that each number belongs to a new flow.
	from *net.UDPConn
	to   netip.AddrPort
	// arrives is the socket on which the receiver reads.
	arrives *net.UDPConn
	// `begun` is the last number that the talker has tried to send, and `sent` is the last number
	// that it has sent successfully. `received` counts the numbers that have arrived, and `wrong`
	// counts the forbidden numbers among them.
	begun, sent, received, wrong atomic.Uint64

	mu sync.Mutex
	// forbidden contains intervals of numbers that must not arrive. The first and the last
	// number of an interval are included.
	forbidden [][2]uint64
}

func (s *fixture) socket(name string, at netip.AddrPort) *net.UDPConn {
	s.t.Helper()
	var c *net.UDPConn
	s.must(s.host(name).Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	}))
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// forbid starts an interval of forbidden numbers: numbers that are sent after this call must not
// arrive.
func (e *talker) forbid() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forbidden = append(e.forbidden, [2]uint64{e.begun.Load() + 1, ^uint64(0)})
}

// permit ends the interval that the last call of forbid started. The parameter `after` is the last
// forbidden number. All greater numbers may arrive.
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
		if err := e.transmit(); err != nil && !ended.Load() {
			return err
		}
	}
	return nil
}

func (e *talker) transmit() error {
	from := e.from
	if from == nil {
		c, err := e.fixture.unconnected("lab/probe", e.to.Addr())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		from = c
	}
	number := e.begun.Add(1)
	if _, err := from.WriteToUDPAddrPort(binary.BigEndian.AppendUint64(nil, number), e.to); err != nil {
		return err
	}
	e.sent.Store(number)
	return nil
}

// receive receives numbers until the socket is closed.
func (e *talker) receive() error {
	buf := make([]byte, 8)
	for {
		_, err := e.arrives.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		e.received.Add(1)
		if !e.mayArrive(binary.BigEndian.Uint64(buf)) {
			e.wrong.Add(1)
		}
	}
}
