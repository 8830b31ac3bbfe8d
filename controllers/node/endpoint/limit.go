package endpoint

import (
	"net"
	"sync"
)

// limitedListener limits the number of open connections to the capacity of the channel `slots`. It
// closes new connections above this limit.
type limitedListener struct {
	net.Listener
	// slots contains one element for each open connection.
	slots chan struct{}
}

// Accept returns the next connection. It closes connections above the limit.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		connection, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &limitedConnection{Conn: connection, release: func() { <-l.slots }}, nil
		default:
			_ = connection.Close()
		}
	}
}

// limitedConnection calls release once when it is closed.
type limitedConnection struct {
	net.Conn
	once    sync.Once
	release func()
}

// Close closes the connection.
func (c *limitedConnection) Close() error {
	c.once.Do(c.release)
	return c.Conn.Close()
}
