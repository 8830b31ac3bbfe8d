package handover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/sluicenet/sluice/dataplane/statedir"
)

// Timeout limits the time in which a predecessor must yield.
const Timeout = 2 * time.Second

// Request describes the dataplane that requests the table.
type Request struct {
	// MarkMask contains the mark bits that its rules use. The verdicts of a predecessor
	// with other bits would be misread by these rules.
	MarkMask uint32 `json:"markMask"`
	// Vacate makes the predecessor unbind its queues at once, because the successor found
	// no free queues.
	Vacate bool `json:"vacate"`
}

// The verbs of the requests.
const (
	verbYield = "yield"
	verbDrain = "drain"
)

// message is a line of JSON on the connection. Request is set only for verbYield.
type message struct {
	Verb string `json:"verb"`
	Request
}

// reply is the reply to a message. Done repeats the verb.
type reply struct {
	Done string `json:"done"`
}

// Predecessor is a dataplane that has yielded the table.
type Predecessor struct {
	conn   net.Conn
	reader *json.Decoder
}

// RequestTable requests the table from the dataplane that holds it. It returns an error if
// no dataplane replies within Timeout. If it returns no error, the lock on the table is free.
// The caller must hold the turn.
func RequestTable(ctx context.Context, stateDir string, r Request) (*Predecessor, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", statedir.HandoverSocket(stateDir))
	if err != nil {
		return nil, fmt.Errorf("requesting the table from the running dataplane: %w", err)
	}
	p := &Predecessor{conn: conn, reader: json.NewDecoder(conn)}
	if err := p.request(ctx, message{Verb: verbYield, Request: r}); err != nil {
		return nil, errors.Join(fmt.Errorf("requesting the table from the running dataplane: %w", err), p.Close())
	}
	return p, nil
}

// Drain makes the predecessor drain its queues, and waits until it has done so, or has
// ended. The caller must have replaced the rules, and no packet may run through the old
// rules. The only error that Drain returns is that of the context.
func (p *Predecessor) Drain(ctx context.Context) error {
	// An error means that the predecessor has ended. Then the kernel has unbound its
	// queues.
	_ = p.request(ctx, message{Verb: verbDrain})
	return ctx.Err()
}

// Close ends the hand-over. Until then, the predecessor serves its status.
func (p *Predecessor) Close() error { return p.conn.Close() }

// request sends a message and waits for the reply.
func (p *Predecessor) request(ctx context.Context, m message) error {
	// A deadline in the past interrupts the connection.
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
