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

// stream is a connection that transfers data continuously. Over TCP, the client downloads
// data. Over UDP, the client sends numbers, and the server returns each number.
type stream struct {
	conn net.Conn
	ends sync.WaitGroup
	quit context.CancelFunc

	mu sync.Mutex
	// arrived is a channel that is closed and replaced each time data arrives.
	arrived chan struct{}
	// last is the time at which the latest data arrived.
	last time.Time
	// pause is the longest time without data since the last call of forgetPauses.
	pause time.Duration
}

const (
	// interval is the time between two transfers of a stream. It limits the load on the
	// machine, and determines the precision of the time at which a stream ends.
	interval = time.Millisecond
	// chunk is the maximum number of bytes of a download that the client reads per interval.
	chunk = 64 << 10
	// downloadBuffer is the size of the receive buffer in bytes. It is smaller than chunk, so
	// that each read empties the buffer, and no data remains in the buffer for a long time.
	downloadBuffer = chunk / 4
	// endless is a download size in bytes that no download reaches.
	endless = 1 << 50
)

// openStream opens the connection of an attempt and waits until the first data
// arrives.
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

// request starts a download. The server has already sent its greeting, which is the first
// byte that the client receives.
func request(conn io.Writer) error {
	_, err := conn.Write(binary.BigEndian.AppendUint64(nil, endless))
	return err
}

// receive reads data until the connection ends or is closed. It reads at most limit bytes per
// interval.
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

// send sends one number per interval until the connection is closed. It ignores errors. If a
// number could not be sent, there is no reply, so receive records a pause.
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

// forgetPauses resets the longest pause to 0, so that earlier pauses do not count.
func (s *stream) forgetPauses() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pause = 0
}

// times returns the time at which the latest data arrived, and the longest pause.
func (s *stream) times() (last time.Time, pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.pause
}

// moves waits until new data arrives or the context is canceled. It reports whether new data
// arrived.
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
