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
	"strconv"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/statedir/socket"
)

// Read returns the status of the dataplane that uses a state directory. If no dataplane uses
// the directory, Read returns ErrNotRunning.
func Read(ctx context.Context, stateDir string) (report.Status, error) {
	return read(ctx, stateDir, statusPath)
}

// ReadHits is like Read, but the status also contains the counters of all rules.
func ReadHits(ctx context.Context, stateDir string) (report.Status, error) {
	return read(ctx, stateDir, statusPath+"?"+hitsParameter+"=true")
}

func read(ctx context.Context, stateDir, path string) (report.Status, error) {
	var s report.Status
	body, err := get(ctx, stateDir, path)
	if err != nil {
		return s, err
	}
	defer func() { _ = body.Close() }()
	if err := json.NewDecoder(body).Decode(&s); err != nil {
		return s, fmt.Errorf("reading the dataplane's status: %w", err)
	}
	return s, nil
}

// ErrEnded means that the dataplane ended while Flows read its events.
var ErrEnded = errors.New("the dataplane ended")

// Flows subscribes to the events of a dataplane. After the subscription has started, Flows calls
// `listening` once, and then calls `handle` for each event. If deniedOnly is true, Flows
// subscribes only to events whose verdict is not Allow.
//
// Flows always returns an error: the error of `handle` or of the context, ErrNotRunning if no
// dataplane is running, or ErrEnded if the dataplane ends.
func Flows(ctx context.Context, stateDir string, deniedOnly bool, listening func(), handle func(*report.Event) error) error {
	body, err := get(ctx, stateDir, flowsPath+"?"+deniedParameter+"="+strconv.FormatBool(deniedOnly))
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	listening()
	lines := json.NewDecoder(body)
	for {
		var event report.Event
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

// maxError is the maximum number of bytes that the function `get` reads from the body of an error
// response.
const maxError = 1 << 10

// response is the body of an HTTP response. Closing the body also closes the connection.
type response struct {
	io.ReadCloser
	transport *http.Transport
}

func (r response) Close() error {
	err := r.ReadCloser.Close()
	r.transport.CloseIdleConnections()
	return err
}

// Transport returns a transport that sends every request to the dataplane of a state directory.
// It ignores the host in the URL of a request. If no dataplane is running, the error wraps
// ErrNotRunning.
func Transport(stateDir string) *http.Transport {
	path := socket.Status(stateDir)
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
		}
		return c, nil
	}}
}

// get requests a path and returns the body of the response.
func get(ctx context.Context, stateDir, path string) (io.ReadCloser, error) {
	transport := Transport(stateDir)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://dataplane"+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("requesting %s from the dataplane: %w", path, err)
	}
	answered, err := (&http.Client{Transport: transport}).Do(request) //nolint:bodyclose // The caller closes the body.
	if err != nil {
		// Omit the URL from the error, because the host in the URL is only a placeholder.
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err
		}
		return nil, fmt.Errorf("requesting %s from the dataplane: %w", path, err)
	}
	r := response{answered.Body, transport}
	if answered.StatusCode != http.StatusOK {
		defer func() { _ = r.Close() }()
		text, _ := io.ReadAll(io.LimitReader(r, maxError))
		return nil, fmt.Errorf("requesting %s from the dataplane: %s: %s", path, answered.Status, bytes.TrimSpace(text))
	}
	return r, nil
}
