package difference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/query/diff"
)

// maxRequests is the maximum number of nodes from which open connections are read at the same time.
const maxRequests = 16

// cuts finds the open connections that a change would cut.
type cuts struct {
	mu    sync.Mutex
	nodes *diff.Nodes
	found diff.Connections
	seen  map[string]bool
}

// connections reads the open connections of all nodes, and returns the ones that the change would cut.
func connections(ctx context.Context, connection *live.Connection, nodes *diff.Nodes) (*diff.Connections, error) {
	names, err := connection.NodeNames(ctx)
	if err != nil {
		return nil, err
	}
	c := &cuts{nodes: nodes, found: diff.Connections{Cut: []diff.Flow{}}, seen: map[string]bool{}}
	slots := make(chan struct{}, maxRequests)
	var reading sync.WaitGroup
	for _, node := range names {
		slots <- struct{}{}
		reading.Go(func() {
			defer func() { <-slots }()
			if err := c.read(ctx, connection, node); err != nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.found.Errors = append(c.found.Errors, err.Error())
			}
		})
	}
	reading.Wait()
	return &c.found, nil
}

// errIncomplete means that a node did not report all open connections.
var errIncomplete = errors.New("its list of open connections is incomplete")

// read evaluates the open connections of a node.
func (c *cuts) read(ctx context.Context, connection *live.Connection, node string) error {
	stream, err := connection.Connections(ctx, node)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	lines := json.NewDecoder(stream)
	for {
		var next report.Connection
		if err := lines.Decode(&next); err != nil {
			if errors.Is(err, io.EOF) {
				err = errIncomplete
			}
			return fmt.Errorf("node %s: %w", node, err)
		}
		if !next.Src.IsValid() { // The last line.
			return nil
		}
		if err := c.add(node, &next); err != nil {
			return err
		}
	}
}

func (c *cuts) add(node string, next *report.Connection) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	flow, cut, err := c.nodes.Connection(node, next)
	if err != nil {
		return err
	}
	c.found.Evaluated++
	key := fmt.Sprint(next.Protocol, next.Src, next.SrcPort, next.Dst, next.DstPort)
	if cut && !c.seen[key] {
		c.seen[key] = true
		c.found.Cut = append(c.found.Cut, flow)
	}
	return nil
}
