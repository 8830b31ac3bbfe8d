package handover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/sluicenet/sluice/dataplane/statedir/socket"
)

// Timeout is the time within which a predecessor must reply to a request to yield.
const Timeout = 2 * time.Second

// Request describes the dataplane that requests the table lock.
type Request struct {
	// MarkMask contains the mark bits that the rules of the successor use. If the workers of
	// the predecessor set other bits, these rules would misread the verdicts of the workers.
	MarkMask uint32 `json:"markMask"`
	// Vacate makes the predecessor unbind its queues at once. A successor sets Vacate if it has
	// found no free queues.
	Vacate bool `json:"vacate"`
}

// The verbs of requests.
const (
	verbYield = "yield"
	verbDrain = "drain"
)

// message is a request of the successor. It is sent as one line of JSON. The embedded Request is
// set only for verbYield.
type message struct {
	Verb string `json:"verb"`
	Request
}

// reply is the predecessor's reply to a message. Done repeats the verb of the message.
type reply struct {
	Done string `json:"done"`
}

// Predecessor is a connection to a dataplane that has released the table lock.
type Predecessor struct {
	conn   net.Conn
	reader *json.Decoder
}

// RequestTable requests the table lock from the dataplane that holds the lock. If no dataplane
// replies within Timeout, RequestTable returns an error. If it returns no error, the table lock
// is free. The caller must hold the turn lock.
func RequestTable(ctx context.Context, stateDir string, r Request) (*Predecessor, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket.Handover(stateDir))
	if err != nil {
		return nil, fmt.Errorf("requesting the table from the running dataplane: %w", err)
	}
	p := &Predecessor{conn: conn, reader: json.NewDecoder(conn)}
	if err := p.request(ctx, message{Verb: verbYield, Request: r}); err != nil {
		return nil, errors.Join(fmt.Errorf("requesting the table from the running dataplane: %w", err), p.Close())
	}
	return p, nil
}

// Drain makes the predecessor drain its queues. It waits until the queues are drained or the
// predecessor has ended. Before the call, the caller must replace the rules and wait until the
// kernel no longer processes packets with the old rules. Drain returns an error only if the
// context ends.
func (p *Predecessor) Drain(ctx context.Context) error {
	// An error means that the predecessor has ended. In this case the kernel has unbound
	// the queues.
	_ = p.request(ctx, message{Verb: verbDrain})
	return ctx.Err()
}

// Close closes the connection, which ends the hand-over. Until the hand-over ends, the
// predecessor continues to serve its status.
func (p *Predecessor) Close() error { return p.conn.Close() }

// request sends a message and waits for the reply.
func (p *Predecessor) request(ctx context.Context, m message) error {
	// When the context ends, a deadline in the past interrupts reads and writes of the
	// connection.
	stop := context.AfterFunc(ctx, func() { _ = p.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := json.NewEncoder(p.conn).Encode(m); err != nil {
		return err
	}
	var r reply
	switch err := p.reader.Decode(&r); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return context.Cause(ctx)
	case err != nil:
		return err
	case r.Done != m.Verb:
		return fmt.Errorf("unexpected reply %q to %q", r.Done, m.Verb)
	}
	return nil
}
