package difference

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/query/diff"
)

// watch evaluates the flows of all nodes for some time. It calls the function `changed` when it finds
// a new kind of flow whose verdict the change would change.
func watch(cmd *cobra.Command, connection *live.Connection, nodes *diff.Nodes, duration time.Duration, changed func(*diff.Flow)) (*diff.Flows, error) {
	names, err := connection.NodeNames(cmd.Context())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), duration)
	defer cancel()
	input.Note(cmd.ErrOrStderr(), "evaluating the flows of %d nodes for %s; press Ctrl-C to stop earlier", len(names), duration)
	var mu sync.Mutex
	found := diff.NewFlows()
	var following sync.WaitGroup
	for _, node := range names {
		following.Go(func() {
			err := follow(ctx, connection, node, func(e *report.Event) error {
				mu.Lock()
				defer mu.Unlock()
				return found.Add(nodes, node, e, changed)
			})
			if ctx.Err() == nil {
				mu.Lock()
				defer mu.Unlock()
				found.Errors = append(found.Errors, fmt.Sprintf("later flows of node %s: %v", node, err))
			}
		})
	}
	following.Wait()
	return found, nil
}

// follow reads the flow events of a node until the context or the stream ends. It never returns nil.
func follow(ctx context.Context, connection *live.Connection, node string, handle func(*report.Event) error) error {
	stream, err := connection.Flows(ctx, node, false)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	lines := json.NewDecoder(stream)
	for {
		var event report.Event
		if err := lines.Decode(&event); err != nil {
			return fmt.Errorf("reading flows: %w", err)
		}
		if err := handle(&event); err != nil {
			return err
		}
	}
}
