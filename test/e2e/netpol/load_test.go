package netpol_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/labcluster"
)

const (
	// lostTime is the time after which a packet counts as lost if no reply has arrived.
	lostTime = 10 * time.Second
	// loadPause is the pause between two packets. During the pause, other processes can use the
	// processor.
	loadPause = time.Millisecond
)

// load generates traffic in the background of a test, and records how long each round trip
// takes.
type load struct {
	fixture *fixture
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	done    int
	slowest time.Duration
	// retransmitted is the number of new connections whose client retransmitted a SYN.
	retransmitted int
	faults        []string
}

func (s *fixture) newLoad() (*load, context.Context) {
	ctx, cancel := context.WithCancel(s.Context())
	l := &load{fixture: s, cancel: cancel}
	s.Cleanup(func() { cancel(); l.running.Wait() })
	return l, ctx
}

// add records the duration or the error of one round trip.
func (l *load) add(took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done++
	l.slowest = max(l.slowest, took)
	if err != nil {
		l.faults = append(l.faults, err.Error())
	}
}

// stop stops the traffic. It fails the test if a round trip failed, or if there was no round trip
// at all.
func (l *load) stop(what string) {
	l.fixture.Helper()
	l.cancel()
	l.running.Wait()
	l.fixture.Logf("%s: %d, %d faults, the slowest took %s", what, l.done, len(l.faults), l.slowest.Round(time.Millisecond))
	if l.done == 0 {
		l.fixture.Errorf("%s: nothing was tried", what)
	}
	for _, fault := range l.faults[:min(len(l.faults), 10)] {
		l.fixture.Errorf("%s: %s", what, fault)
	}
}

// The method `visits` repeatedly opens new connections to TCP port 80 of a pod, over both address
// families. The test fails if any of these connections fails, including the last one.
func (s *fixture) visits(from, to string) *load {
	s.Helper()
	l, ctx := s.newLoad()
	host, end := s.end(from).Host, s.end(to)
	for _, address := range end.Addresses {
		l.running.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				err := l.visit(host, netip.AddrPortFrom(address, 80))
				l.add(time.Since(began), err)
				wait(loadPause)
			}
		})
	}
	return l
}

// visit opens a TCP connection and reads the greeting of the server. The client sends only a SYN, so
// each packet that the kernel retransmits is a SYN.
func (l *load) visit(host *lab.Host, to netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(l.fixture.Context(), lostTime)
	defer cancel()
	conn, err := host.Dial(ctx, flow.TCP, netip.Addr{}, to)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(lostTime)); err != nil {
		return err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return fmt.Errorf("reading the greeting of %s: %w", to, err)
	}
	info, err := tcpInfo(conn)
	if err == nil && info.Total_retrans > 0 {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.retransmitted++
	}
	return err
}

// The method `streams` opens a TCP connection and a UDP flow to port 80 of a pod, over each
// address family. It sends numbered packets over these streams. Each packet is sent only once and
// must get a reply.
func (s *fixture) streams(from, to string) *load {
	s.Helper()
	l, ctx := s.newLoad()
	source, end := s.end(from), s.end(to)
	for _, address := range end.Addresses {
		for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP} {
			conn := s.openStream(source, protocol, netip.AddrPortFrom(address, 80))
			exchange := exchangeUDP
			if protocol == flow.TCP {
				exchange = exchangeTCP
			}
			l.running.Go(func() {
				for number := uint64(1); ctx.Err() == nil; number++ {
					began := time.Now()
					if err := exchange(conn, number); err != nil {
						l.add(time.Since(began), fmt.Errorf("%s to %s: packet %d: %w", protocol, address, number, err))
						return
					}
					l.add(time.Since(began), nil)
					wait(loadPause)
				}
			})
		}
	}
	return l
}

func (s *fixture) openStream(from labcluster.End, protocol flow.Protocol, to netip.AddrPort) net.Conn {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), lostTime)
	defer cancel()
	conn, err := from.Host.Dial(ctx, protocol, netip.Addr{}, to)
	s.must(err)
	s.Cleanup(func() { _ = conn.Close() })
	s.must(conn.SetDeadline(time.Now().Add(lostTime)))
	if protocol == flow.TCP {
		// Read the greeting of the server.
		_, err = io.ReadFull(conn, make([]byte, 1))
	} else {
		// The flow is accepted only once its first packet has been evaluated. If a test stops the
		// dataplane before that, the packet is lost.
		err = exchangeUDP(conn, 0)
	}
	s.must(err)
	return conn
}

// exchangeUDP sends a number once, and waits until the server has sent the same number back.
func exchangeUDP(conn net.Conn, number uint64) error {
	if err := conn.SetDeadline(time.Now().Add(lostTime)); err != nil {
		return err
	}
	if _, err := conn.Write(binary.BigEndian.AppendUint64(nil, number)); err != nil {
		return err
	}
	var answer [8]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return err
	}
	if got := binary.BigEndian.Uint64(answer[:]); got != number {
		return fmt.Errorf("the reply is packet %d", got)
	}
	return nil
}

// exchangeTCP downloads between 1 and 1000 bytes, which the server sends in one packet. It returns
// an error if a packet of the connection was lost: if the kernel has retransmitted more packets
// than the receiver has reported as duplicates (RFC 2883).
func exchangeTCP(conn net.Conn, number uint64) error {
	if err := conn.SetDeadline(time.Now().Add(lostTime)); err != nil {
		return err
	}
	if err := lab.Download(conn, number%1000+1); err != nil {
		return err
	}
	info, err := tcpInfo(conn)
	if err != nil {
		return err
	}
	if info.Total_retrans > info.Dsack_dups {
		return fmt.Errorf("%d packets were lost", info.Total_retrans-info.Dsack_dups)
	}
	return nil
}

// tcpInfo returns the counters of the kernel for a TCP connection.
func tcpInfo(conn net.Conn) (info *unix.TCPInfo, err error) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { info, failed = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO) })
	return info, errors.Join(err, failed)
}
