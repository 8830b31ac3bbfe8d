package flows

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/cmd/sluice/internal/terminal"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/live"
)

// maxStreams is the number of nodes above which writeCluster requests a confirmation.
const maxStreams = 50

// writeCluster writes the flows that the nodes of a cluster evaluate. If the command fails on
// one node, writeCluster writes the error and continues with the other nodes.
func (f *Flags) writeCluster(cmd *cobra.Command) error {
	connection, err := f.scope.ConnectTo(cmd)
	if err != nil {
		return err
	}
	nodes := f.nodes
	if len(nodes) == 0 {
		if nodes, err = connection.NodeNames(cmd.Context()); err != nil {
			return err
		}
	}
	if err := f.confirm(cmd, len(nodes)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	w := &writer{flags: f, out: cmd.OutOrStdout()}
	notes := notes{cmd: cmd}
	failed := make([]error, len(nodes))
	var running sync.WaitGroup
	for i, node := range nodes {
		running.Go(func() {
			err := follow(ctx, connection, node, w, &notes)
			switch {
			case errors.Is(err, errEnough):
				cancel()
			case ctx.Err() == nil:
				failed[i] = fmt.Errorf("node %s: %w", node, err)
				if len(nodes) > 1 {
					notes.write(node, err.Error())
				}
			}
		})
	}
	running.Wait()
	return errors.Join(failed...)
}

// confirm requests a confirmation before the command opens many streams.
func (f *Flags) confirm(cmd *cobra.Command, nodes int) error {
	switch {
	case nodes == 0:
		return errors.New("no node has an agent of Sluice")
	case nodes <= maxStreams || f.yes:
		return nil
	case !terminal.Is(cmd.InOrStdin()):
		return input.Errorf("this would open streams to %d nodes: select nodes with --node, or confirm with --yes", nodes)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Open streams to %d nodes? [y/N] ", nodes)
	if !confirmed(cmd.InOrStdin()) {
		return errors.New("not confirmed: no stream was opened")
	}
	return nil
}

// confirmed reports whether the first line of the input is "y" or "yes". An incomplete line means no.
func confirmed(in io.Reader) bool {
	line, err := bufio.NewReader(in).ReadString('\n')
	reply := strings.TrimSpace(line) // On Windows, a line ends with "\r\n".
	return err == nil && (reply == "y" || reply == "yes")
}

// errStreamEnded means that the stream of a node ended.
var errStreamEnded = errors.New("the stream ended, because its agent, its dataplane or the operator ended")

// reconnectPause is the time between two attempts to connect to a node.
const reconnectPause = time.Second

// follow writes the flows of a node until the context ends. When the stream of the node ends,
// follow connects again. If it cannot connect within the time of --retry, it returns the
// error. It never returns nil.
func follow(ctx context.Context, connection *live.Connection, node string, w *writer, notes *notes) error {
	lost := time.Now()
	for noted := false; ; {
		err := copyEvents(ctx, connection, node, w, func() {
			lost, noted = time.Time{}, false
			notes.write(node, "listening; press Ctrl-C to stop")
		})
		if lost.IsZero() {
			lost = time.Now()
		}
		if !canReconnect(err) || time.Since(lost) >= w.flags.retry {
			return err
		}
		if !noted {
			notes.write(node, err.Error()+"; connecting again, flows until then are not shown")
			noted = true
		}
		select {
		case <-time.After(reconnectPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// canReconnect reports whether another attempt to connect can succeed without a change by the user.
// For example, the cluster serves no flows for some seconds while its only operator restarts.
func canReconnect(err error) bool {
	var notServed *live.NotServedError
	return errors.As(err, &notServed) || errors.Is(err, errStreamEnded) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err)
}

// copyEvents writes the flows of a node until the stream or the context ends. It never returns
// nil.
func copyEvents(ctx context.Context, connection *live.Connection, node string, w *writer, listening func()) error {
	stream, err := connection.Flows(ctx, node, w.flags.denied)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	listening()
	lines := json.NewDecoder(stream)
	for {
		var event report.Event
		if err := lines.Decode(&event); err != nil {
			return fmt.Errorf("%w: %w", errStreamEnded, err)
		}
		if err := w.write(node, &event); err != nil {
			return err
		}
	}
}

// notes writes messages about nodes to standard error.
type notes struct {
	cmd *cobra.Command
	mu  sync.Mutex
}

func (n *notes) write(node, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(n.cmd.ErrOrStderr(), "%s  %s\n", node, text)
}
