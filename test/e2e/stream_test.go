package e2e_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/stage"
)

// stream is a connection that is open: over TCP a download without end, over
// UDP an exchange of datagrams.
type stream struct {
	name     string
	protocol flow.Protocol
	conn     net.Conn
}

// silence is how long nothing may come for a stream to be cut.
const silence = 400 * time.Millisecond

// open opens a stream, written as in want without the outcome, in one family.
func (s *setup) open(line string, like netip.Addr) *stream {
	s.t.Helper()
	for _, a := range s.attempts(stage.Expectations(s.t, line+" allowed")[0]) {
		if a.dst.Addr().Is4() != like.Is4() {
			continue
		}
		conn, err := a.from.Dial(s.t.Context(), a.protocol, a.src, a.dst)
		s.must(err)
		s.t.Cleanup(func() { _ = conn.Close() })
		st := &stream{fmt.Sprintf("%s (%s)", strings.Join(strings.Fields(line), " "), a.dst), a.protocol, conn}
		s.must(st.begin())
		return st
	}
	s.t.Fatalf("%q: no address of the family of %s", line, like)
	return nil
}

func (st *stream) begin() error {
	if st.protocol == flow.TCP {
		if err := st.conn.SetDeadline(time.Now().Add(limit)); err != nil {
			return err
		}
		// The greeting, and a request for more than anybody sends.
		if _, err := io.ReadFull(st.conn, make([]byte, 1)); err != nil {
			return err
		}
		if _, err := st.conn.Write(binary.BigEndian.AppendUint64(nil, 1<<62)); err != nil {
			return err
		}
	}
	return st.goesOn()
}

// goesOn proves that the stream is alive.
func (st *stream) goesOn() error {
	if err := st.conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	var err error
	if st.protocol == flow.TCP {
		// More than buffers on the way may hold.
		_, err = io.CopyN(io.Discard, st.conn, 8<<20)
	} else {
		err = st.exchange()
	}
	if err != nil {
		return fmt.Errorf("%s does not go on: %w", st.name, err)
	}
	return nil
}

// exchange sends one datagram and waits for its answer.
func (st *stream) exchange() error {
	number := rand.Uint64()
	if _, err := st.conn.Write(binary.BigEndian.AppendUint64(nil, number)); err != nil {
		return err
	}
	answer := make([]byte, 8)
	for {
		if _, err := io.ReadFull(st.conn, answer); err != nil {
			return err
		}
		if binary.BigEndian.Uint64(answer) == number {
			return nil
		}
	}
}

var errFlows = errors.New("goes on, want it cut")

// isCut proves that nothing comes any more.
func (st *stream) isCut() error {
	if st.protocol == flow.TCP {
		return st.isSilent()
	}
	// One failure may be the late news of an ICMP error.
	for range 3 {
		if err := st.conn.SetDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		if st.exchange() == nil {
			return fmt.Errorf("%s %w", st.name, errFlows)
		}
	}
	return nil
}

// isSilent reads what buffers on the way hold, and then wants silence or a
// reset.
func (st *stream) isSilent() error {
	begin := time.Now()
	buf := make([]byte, 1<<20)
	for {
		if err := st.conn.SetDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		_, err := st.conn.Read(buf)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, unix.ECONNRESET), errors.Is(err, io.EOF):
			// After a reset has been read, reading gives the end.
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", st.name, err)
		case time.Since(begin) > limit:
			return fmt.Errorf("%s %w", st.name, errFlows)
		}
	}
}

// each asks all streams at once.
func (s *setup) each(when string, ask func(*stream) error, streams ...*stream) {
	s.t.Helper()
	var running sync.WaitGroup
	for _, st := range streams {
		running.Go(func() {
			if err := ask(st); err != nil {
				s.t.Errorf("%s: %v", when, err)
			}
		})
	}
	running.Wait()
	if s.t.Failed() {
		s.t.Fatalf("the dataplane's log:\n%s", s.plane.Log())
	}
}
