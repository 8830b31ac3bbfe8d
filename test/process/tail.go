package process

import (
	"bytes"
	"strings"
	"sync"
)

// tail is a writer that keeps only the last bytes written to it, at most `size` bytes. It is safe
// for concurrent use.
type tail struct {
	size int
	mu   sync.Mutex
	buf  bytes.Buffer
}

// Write appends bytes to the tail. It never returns an error.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - t.size; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

// text returns the kept bytes as text, without leading and trailing white space.
func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.buf.String())
}
