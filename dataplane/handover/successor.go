package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/statedir/socket"
)

const (
	socketMode = 0o600
	// helloTimeout is the longest time that a new connection may take to send its first
	// request. It is also the longest time that writing a reply may take.
	helloTimeout = time.Second
)

// Server accepts requests of successors. The dataplane that holds the table lock runs a
// server.
type Server struct {
	listener   *net.UnixListener
	successors chan *Successor
	serving    sync.WaitGroup
}

// Serve starts a server on the socket of a state directory. If the socket of a predecessor
// exists, Serve replaces it atomically. Only processes of the same user can connect.
func Serve(stateDir string) (*Server, error) {
	listener, err := socket.Listen(socket.Handover(stateDir), socketMode)
	if err != nil {
		return nil, fmt.Errorf("accepting hand-overs: %w", err)
	}
	s := &Server{listener: listener, successors: make(chan *Successor)}
	s.serving.Go(s.run)
	return s, nil
}

// Successors returns a channel that receives a Successor for each dataplane that requests the
// table lock. The channel is closed when the server is closed.
func (s *Server) Successors() <-chan *Successor { return s.successors }

// Close stops accepting requests. Connections of successors stay open.
func (s *Server) Close() error {
	err := s.listener.Close()
	// Close the connection to notify the successor that its request will not be handled.
	for next := range s.successors {
		err = errors.Join(err, next.Close())
	}
	s.serving.Wait()
	if err != nil {
		return fmt.Errorf("closing the hand-over socket: %w", err)
	}
	return nil
}

func (s *Server) run() {
	defer close(s.successors)
	for {
		conn, err := s.listener.AcceptUnix()
		if err != nil {
			return
		}
		if next := hello(conn); next != nil {
			s.successors <- next
		} else {
			_ = conn.Close()
		}
	}
}

// hello reads the first request of a connection. It returns nil if the request is invalid.
func hello(conn *net.UnixConn) *Successor {
	next := &Successor{conn: conn, reader: json.NewDecoder(conn), drain: make(chan struct{}), gone: make(chan struct{})}
	if !sameUser(conn) || conn.SetReadDeadline(time.Now().Add(helloTimeout)) != nil {
		return nil
	}
	var m message
	if next.reader.Decode(&m) != nil || m.Verb != verbYield || conn.SetReadDeadline(time.Time{}) != nil {
		return nil
	}
	next.Request = m.Request
	return next
}

// sameUser reports whether the process at the other end of a connection runs as the same user
// as this process.
func sameUser(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	var peer *unix.Ucred
	if e := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil || err != nil {
		return false
	}
	return int(peer.Uid) == os.Geteuid()
}

// Successor is a connection from a dataplane that requests the table lock. This process is its
// predecessor.
type Successor struct {
	Request

	conn   net.Conn
	reader *json.Decoder
	// drain is closed when the successor requests that this process drain its queues. gone is
	// closed when the connection has ended.
	drain, gone chan struct{}
}

// Yielded reports to the successor that this process no longer writes the table. The caller must
// release the locks before it calls Yielded.
func (s *Successor) Yielded() error {
	if err := s.reply(verbYield); err != nil {
		return err
	}
	go func() {
		defer close(s.gone)
		var m message
		if s.reader.Decode(&m) != nil || m.Verb != verbDrain {
			return
		}
		close(s.drain)
		_ = s.reader.Decode(&m) // Decode returns when the connection ends.
	}()
	return nil
}

// Drain returns a channel that is closed when the successor requests that this process drain
// its queues. The caller must have called Yielded.
func (s *Successor) Drain() <-chan struct{} { return s.drain }

// Gone returns a channel that is closed when the successor has closed the connection or has
// ended. The caller must have called Yielded.
func (s *Successor) Gone() <-chan struct{} { return s.gone }

// Drained reports to the successor that the queues of this process are unbound.
func (s *Successor) Drained() error { return s.reply(verbDrain) }

func (s *Successor) reply(verb string) error {
	if err := errors.Join(s.conn.SetWriteDeadline(time.Now().Add(helloTimeout)), json.NewEncoder(s.conn).Encode(reply{Done: verb})); err != nil {
		return fmt.Errorf("replying to the next dataplane: %w", err)
	}
	return nil
}

// Close closes the connection, which ends the hand-over.
func (s *Successor) Close() error { return s.conn.Close() }
