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

// stream is an open connection. Over TCP, it is an endless download. Over UDP, client and
// server exchange datagrams.
type stream struct {
	name     string
	protocol flow.Protocol
	conn     net.Conn
}

// silence is the time without data after which a stream counts as cut.
const silence = 400 * time.Millisecond

// open opens a stream over the same address family as the `like` parameter. The line contains
// source, destination, protocol and port. It has the same format as a line for the `want` method,
// but without a result.
func (s *fixture) open(line string, like netip.Addr) *stream {
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
		// Read the greeting of the server. Then request more bytes than the test will receive.
		if _, err := io.ReadFull(st.conn, make([]byte, 1)); err != nil {
			return err
		}
		if _, err := st.conn.Write(binary.BigEndian.AppendUint64(nil, 1<<62)); err != nil {
			return err
		}
	}
	return st.goesOn()
}

// goesOn transfers data over the stream. It returns an error if no data arrives within the time
// limit.
func (st *stream) goesOn() error {
	if err := st.conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	var err error
	if st.protocol == flow.TCP {
		// Read more bytes than the socket buffers of both ends can contain together.
		_, err = io.CopyN(io.Discard, st.conn, 8<<20)
	} else {
		err = st.exchange()
	}
	if err != nil {
		return fmt.Errorf("%s does not go on: %w", st.name, err)
	}
	return nil
}

// exchange sends one datagram and waits until the server has sent the same datagram back.
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

var errFlows = errors.New("data still arrives, want the stream to be cut")

// isCut returns an error if the stream still transfers data.
func (st *stream) isCut() error {
	if st.protocol == flow.TCP {
		return st.isSilent()
	}
	// Try three exchanges. The first one can fail because of a delayed ICMP error, even if the
	// stream is not cut.
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

// isSilent reads the data that is still in the buffers. It returns nil if no more data arrives for
// the duration `silence`, or if the connection was reset. It returns an error if data keeps
// arriving or if a read fails for another reason.
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
			// The read after a reset returns io.EOF.
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", st.name, err)
		case time.Since(begin) > limit:
			return fmt.Errorf("%s %w", st.name, errFlows)
		}
	}
}

// each calls the function `check` for all streams concurrently.
func (s *fixture) each(when string, check func(*stream) error, streams ...*stream) {
	s.t.Helper()
	var running sync.WaitGroup
	for _, st := range streams {
		running.Go(func() {
			if err := check(st); err != nil {
				s.t.Errorf("%s: %v", when, err)
			}
		})
	}
	running.Wait()
	if s.t.Failed() {
		s.t.Fatalf("the dataplane's log:\n%s", s.plane.Log())
	}
}
