package demo

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

// stream is a connection on which bytes come in all the time: over TCP a
// download, over UDP numbers that are sent back.
type stream struct {
	conn net.Conn
	ends sync.WaitGroup
	quit context.CancelFunc

	mu sync.Mutex
	// came is closed and replaced when bytes come in.
	came chan struct{}
	last time.Time
	// pause is the longest time without bytes since the pauses were forgotten.
	pause time.Duration
}

const (
	// beat is how often a stream moves bytes: it bounds the load and how well
	// it is known when a stream ended.
	beat = time.Millisecond
	// gulp is how much of a download is read in a beat.
	gulp = 64 << 10
	// downloadBuffer is so small that a gulp empties it: nothing that came before
	// a cut is read long after it.
	downloadBuffer = gulp / 4
	// endless is more than a download gets in its time.
	endless = 1 << 50
)

// openStream opens a cell's connection and waits for its first bytes.
func openStream(ctx context.Context, c *Cell) (*stream, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := c.From.host.Dial(ctx, c.Port.Protocol, c.Src, netip.AddrPortFrom(c.Dst, c.Port.Number))
	if err != nil {
		return nil, err
	}
	s := &stream{conn: conn, came: make(chan struct{})}
	running, quit := context.WithCancel(context.Background())
	s.quit = quit
	arrivals, err := newArrivals(conn)
	if err != nil {
		s.close()
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok && c.Port.Protocol == flow.TCP {
		if err := errors.Join(tcp.SetReadBuffer(downloadBuffer), ask(tcp)); err != nil {
			s.close()
			return nil, err
		}
		s.ends.Go(func() { s.receive(running, arrivals, gulp) })
	} else {
		s.ends.Go(func() { s.send(running) })
		s.ends.Go(func() { s.receive(running, arrivals, 8) })
	}
	if !s.moves(ctx) {
		s.close()
		return nil, errors.Join(ctx.Err(), errors.New("no answer came"))
	}
	return s, nil
}

// ask begins a download; the server's greeting is its first byte.
func ask(conn io.Writer) error {
	_, err := conn.Write(binary.BigEndian.AppendUint64(nil, endless))
	return err
}

// receive reads until the connection ends or is closed.
func (s *stream) receive(running context.Context, arrivals *arrivals, most int) {
	next := time.NewTicker(beat)
	defer next.Stop()
	buf := make([]byte, most)
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

// send sends a number in each beat until the connection is closed. Whether one
// could be sent shows in the answers.
func (s *stream) send(running context.Context) {
	next := time.NewTicker(beat)
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
	close(s.came)
	s.came = make(chan struct{})
}

// forgetPauses forgets the pauses so far.
func (s *stream) forgetPauses() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pause = 0
}

// times gives when bytes came in last, and the longest pause.
func (s *stream) times() (last time.Time, pause time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, s.pause
}

// moves waits for bytes that are still to come. It reports false when the
// context ends before.
func (s *stream) moves(ctx context.Context) bool {
	s.mu.Lock()
	came := s.came
	s.mu.Unlock()
	select {
	case <-came:
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
