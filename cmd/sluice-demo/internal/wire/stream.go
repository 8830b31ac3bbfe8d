package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// stream is a connection that transfers data all the time: a download over TCP,
// or numbers that the server sends back over UDP.
type stream struct {
	conn net.Conn
	ends sync.WaitGroup
	quit context.CancelFunc

	mu sync.Mutex
	// arrived is closed and replaced when data arrives.
	arrived chan struct{}
	// last is when data arrived last.
	last time.Time
	// pause is the longest time without data since forgetPauses.
	pause time.Duration
}

const (
	// interval is how often a stream transfers data. It limits the load, and it is
	// the precision of the time at which a stream ended.
	interval = time.Millisecond
	// chunk is how much of a download is read in an interval.
	chunk = 64 << 10
	// downloadBuffer is the size of the receive buffer. One read empties it, so
	// that data is not read long after it arrived.
	downloadBuffer = chunk / 4
	// endless is a download size that is never reached.
	endless = 1 << 50
)

// openStream opens the connection of an attempt and waits for its first data.
func openStream(ctx context.Context, a *Attempt) (*stream, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	conn, err := a.From.Host.Dial(ctx, a.Port.Protocol, a.Src, netip.AddrPortFrom(a.Dst, a.Port.Number))
	if err != nil {
		return nil, err
	}
	s := &stream{conn: conn, arrived: make(chan struct{})}
	running, quit := context.WithCancel(context.Background())
	s.quit = quit
	arrivals, err := newArrivals(conn)
	if err != nil {
		s.close()
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok && a.Port.Protocol == flow.TCP {
		if err := errors.Join(tcp.SetReadBuffer(downloadBuffer), request(tcp)); err != nil {
			s.close()
			return nil, err
		}
		s.ends.Go(func() { s.receive(running, arrivals, chunk) })
	} else {
		s.ends.Go(func() { s.send(running) })
		s.ends.Go(func() { s.receive(running, arrivals, 8) })
	}
	if !s.moves(ctx) {
		s.close()
		return nil, errors.Join(ctx.Err(), errors.New("no data arrived"))
	}
	return s, nil
}

// request starts a download. The greeting of the server is its first byte.
func request(conn io.Writer) error {
	_, err := conn.Write(binary.BigEndian.AppendUint64(nil, endless))
	return err
}

// receive reads until the connection ends or is closed. It reads up to limit
// bytes in an interval.
func (s *stream) receive(running context.Context, arrivals *arrivals, limit int) {
	next := time.NewTicker(interval)
	defer next.Stop()
	buf := make([]byte, limit)
	for {
		n, at, err := arrivals.read(buf)
		if n > 0 {
			s.mark(at)
		}
		if err != nil {
			return
		}
		select {
		case <-next.C:
		case <-running.Done():
			return
		}
	}
}

// send sends a number in each interval until the connection is closed. It ignores
// errors, because a number that was not sent is not sent back either.
func (s *stream) send(running context.Context) {
	next := time.NewTicker(interval)
	defer next.Stop()
	for number := uint64(0); ; number++ {
		_, _ = s.conn.Write(binary.BigEndian.AppendUint64(nil, number))
		select {
		case <-next.C:
		case <-running.Done():
			return
		}
	}
}

func (s *stream) mark(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pause = max(s.pause, now.Sub(s.last))
	s.last = now
	close(s.arrived)
	s.arrived = make(chan struct{})
}

// forgetPauses resets the longest pause, so that only later pauses count.
func (s *stream) forgetPauses() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pause = 0
}

// times returns when data arrived last, and the longest pause.
func (s *stream) times() (last time.Time, pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.pause
}

// moves waits for data that has not arrived yet. It reports whether data arrived
// before the context ended.
func (s *stream) moves(ctx context.Context) bool {
	s.mu.Lock()
	arrived := s.arrived
	s.mu.Unlock()
	select {
	case <-arrived:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *stream) close() {
	s.quit()
	_ = s.conn.Close()
	s.ends.Wait()
}
