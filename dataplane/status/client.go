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

	"github.com/sluicenet/sluice/dataplane/engine"
)

// Read asks the dataplane of a state directory. The error is ErrNotRunning when
// none answers.
func Read(ctx context.Context, stateDir string) (engine.Status, error) {
	var s engine.Status
	response, done, err := get(ctx, stateDir, "/status")
	if err != nil {
		return s, err
	}
	defer done()
	if err := json.NewDecoder(response.Body).Decode(&s); err != nil {
		return s, fmt.Errorf("reading the dataplane's status: %w", err)
	}
	return s, nil
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
