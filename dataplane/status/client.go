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
	"github.com/sluicenet/sluice/dataplane/statedir"
)

// Read asks the dataplane of a state directory. The error is ErrNotRunning when
// none answers.
func Read(ctx context.Context, stateDir string) (report.Status, error) {
	var s report.Status
	body, err := get(ctx, stateDir, statusPath)
	if err != nil {
		return s, err
	}
	defer func() { _ = body.Close() }()
	if err := json.NewDecoder(body).Decode(&s); err != nil {
		return s, fmt.Errorf("reading the dataplane's status: %w", err)
	}
	return s, nil
}

// ErrEnded: the dataplane ended, and its flows with it.
var ErrEnded = errors.New("the dataplane ended")

// Flows calls handle with each event from now on, or only with those that are
// not a plain Allow. It ends with the error of handle or of the context, with
// ErrNotRunning or with ErrEnded. It calls listening once no event will be lost.
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

// maxError is how much of a refusal is shown, in bytes.
const maxError = 1 << 10

// answer is what the dataplane says, until it is closed.
type answer struct {
	io.ReadCloser
	transport *http.Transport
}

func (a answer) Close() error {
	err := a.ReadCloser.Close()
	a.transport.CloseIdleConnections()
	return err
}

// get asks for a path.
func get(ctx context.Context, stateDir, path string) (io.ReadCloser, error) {
	socket := statedir.Socket(stateDir)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
		}
		return c, nil
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://dataplane"+path, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("asking the dataplane: %w", err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request) //nolint:bodyclose // Whoever asked closes it.
	if err != nil {
		// The address that it names means nothing to anybody.
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err
		}
		return nil, fmt.Errorf("asking the dataplane: %w", err)
	}
	a := answer{response.Body, transport}
	if response.StatusCode != http.StatusOK {
		defer func() { _ = a.Close() }()
		said, _ := io.ReadAll(io.LimitReader(a, maxError))
		return nil, fmt.Errorf("asking the dataplane: %s: %s", response.Status, bytes.TrimSpace(said))
	}
	return a, nil
}
