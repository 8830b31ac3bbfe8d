package lab

import (
	"bytes"
	"strings"
	"sync"
)

// Tail keeps the end of what a process writes. It is safe for concurrent use.
type Tail struct {
	size int
	mu   sync.Mutex
	buf  bytes.Buffer
}

// NewTail keeps the last size bytes.
func NewTail(size int) *Tail { return &Tail{size: size} }

// Write never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - t.size; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

// Text is what is kept, without white space around it.
func (t *Tail) Text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.buf.String())
}
