package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluicenet/sluice/test/lab"
)

// dataplane is the real one: this program, started as a node starts it.
type dataplane struct {
	cmd    *exec.Cmd
	client *http.Client
	log    tail
	// ended is closed when the process has ended.
	ended chan struct{}
}

const (
	// startTime bounds how long the dataplane may take to enforce a tree.
	startTime = 10 * time.Second
	// stopTime is how long it may take to stop before it is killed.
	stopTime = 3 * time.Second
	// poll is how often it is asked how far it is.
	poll = time.Millisecond
)

func startDataplane(node *lab.Node, program, stateDir string) (*dataplane, error) {
	socket := filepath.Join(stateDir, "dataplane.sock")
	d := &dataplane{
		cmd:   exec.Command(program, "dataplane", "--state-dir", stateDir),
		ended: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", socket)
			},
		}},
	}
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	if err := node.Start(d.cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program, err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.ended)
	}()
	return d, nil
}

// status is what the demo reads of the dataplane's status.
type status struct {
	// Acknowledged is the generation that holds for every packet.
	Acknowledged uint64 `json:"acknowledged"`
	// Queueing is how packets come to user space on this kernel.
	Queueing string `json:"queueing"`
}

// status asks the dataplane.
func (d *dataplane) status(ctx context.Context) (status, error) {
	var s status
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://dataplane/status", http.NoBody)
	if err != nil {
		return s, err
	}
	answer, err := d.client.Do(request)
	if err != nil {
		return s, fmt.Errorf("asking the dataplane: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return s, fmt.Errorf("asking the dataplane: %s", answer.Status)
	}
	if err := json.NewDecoder(answer.Body).Decode(&s); err != nil {
		return s, fmt.Errorf("reading the dataplane's status: %w", err)
	}
	return s, nil
}

// enforces waits until the dataplane says that it enforces a generation.
func (d *dataplane) enforces(ctx context.Context, generation uint64) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	again := time.NewTicker(poll)
	defer again.Stop()
	var last error
	for {
		s, err := d.status(ctx)
		if err == nil && s.Acknowledged >= generation {
			return s, nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-d.ended:
			return s, fmt.Errorf("the dataplane ended (%s):\n%s", d.cmd.ProcessState, d.log.text())
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return s, fmt.Errorf("the dataplane does not enforce generation %d after %s (%v):\n%s", generation, startTime, last, d.log.text())
			}
			return s, ctx.Err()
		case <-again.C:
		}
	}
}

// stop ends the process.
func (d *dataplane) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
	case <-time.After(stopTime):
		_ = d.cmd.Process.Signal(os.Kill)
		<-d.ended
	}
	d.client.CloseIdleConnections()
}

// tail keeps the end of what a process writes.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailSize = 8 << 10

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(p)
	if over := t.buf.Len() - tailSize; over > 0 {
		t.buf.Next(over)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.buf.String())
}
