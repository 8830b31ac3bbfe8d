package status

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/dataplane/queue"
)

// Read asks the dataplane of a state directory. The error is ErrNotRunning when
// none answers.
func Read(ctx context.Context, stateDir string) (engine.Status, error) {
	var s engine.Status
	response, done, err := get(ctx, stateDir, statusPath)
	if err != nil {
		return s, err
	}
	defer done()
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		return s, fmt.Errorf("reading the dataplane's status: %w", err)
	}
	return s, nil
}

// ErrEnded: the dataplane ended, and its flows with it.
var ErrEnded = errors.New("the dataplane ended")

// Flows calls handle with each event from now on, or only with those that are
// not a plain Allow. It ends with the error of handle or of the context, with
// ErrNotRunning or with ErrEnded. It calls listening once no event will be lost.
func Flows(ctx context.Context, stateDir string, refusedOnly bool, listening func(), handle func(*queue.Event) error) error {
	response, done, err := get(ctx, stateDir, flowsPath+"?"+deniedParameter+"="+strconv.FormatBool(refusedOnly))
	if err != nil {
		return err
	}
	defer done()
	listening()
	lines := json.NewDecoder(response.Body)
	for {
		var event queue.Event
		if err := lines.Decode(&event); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("%w: %w", ErrEnded, err)
		}
		if err := handle(&event); err != nil {
			return err
		}
	}
}

// maxError is how much of a refusal is shown, in bytes.
const maxError = 1 << 10

// get asks for a path. What it gives is read until done is called.
func get(ctx context.Context, stateDir, path string) (response *http.Response, done func(), err error) {
	socket := filepath.Join(stateDir, socketName)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
		}
		return c, nil
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://dataplane"+path, http.NoBody)
	if err != nil {
		return nil, nil, fmt.Errorf("asking the dataplane: %w", err)
	}
	response, err = (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		// The address that it names means nothing to anybody.
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err
		}
		transport.CloseIdleConnections()
		return nil, nil, fmt.Errorf("asking the dataplane: %w", err)
	}
	done = func() {
		_ = response.Body.Close()
		transport.CloseIdleConnections()
	}
	if response.StatusCode != http.StatusOK {
		defer done()
		said, _ := io.ReadAll(io.LimitReader(response.Body, maxError))
		return nil, nil, fmt.Errorf("asking the dataplane: %s: %s", response.Status, bytes.TrimSpace(said))
	}
	return response, done, nil
}
