package hits

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluicenet/sluice/dataplane/report"
)

// Source reads the status of a node's dataplane with all counters, as JSON. *live.Connection
// implements Source.
type Source interface {
	NodeHits(ctx context.Context, node string) (json.RawMessage, error)
}

const (
	// parallel is the number of nodes that Read requests at the same time.
	parallel = 16
	// nodeTimeout limits the time for one node. It is longer than the time for which the operator
	// waits for an agent.
	nodeTimeout = 30 * time.Second
)

// Node contains the counters of a node.
type Node struct {
	Name string
	// Hits is nil if the node did not respond. Err is then the reason.
	Hits *report.Hits
	Err  error
}

// Read reads the counters of the given nodes. The result has the same order as `names`.
func Read(ctx context.Context, s Source, names []string) []Node {
	nodes, slots := make([]Node, len(names)), make(chan struct{}, parallel)
	var running sync.WaitGroup
	for i, name := range names {
		slots <- struct{}{}
		running.Go(func() {
			nodes[i] = readNode(ctx, s, name)
			<-slots
		})
	}
	running.Wait()
	return nodes
}

// FirstError returns the error of the first node if no node responded, such as the error for a missing
// right. Otherwise it returns nil.
func FirstError(nodes []Node) error {
	for i := range nodes {
		if nodes[i].Err == nil {
			return nil
		}
	}
	if len(nodes) == 0 {
		return nil
	}
	return fmt.Errorf("no node responded: %w", nodes[0].Err)
}

func readNode(ctx context.Context, s Source, name string) Node {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	content, err := s.NodeHits(ctx, name)
	if err != nil {
		return Node{Name: name, Err: err}
	}
	var status report.Status
	if err := json.Unmarshal(content, &status); err != nil {
		return Node{Name: name, Err: fmt.Errorf("reading the counters of node %s: %w", name, err)}
	}
	return NodeOf(name, &status)
}

// errNotCounted is returned for a node whose dataplane does not report counters.
var errNotCounted = errors.New("its dataplane or the operator is too old to count rules")

// NodeOf returns the counters in the status of a dataplane. The status must have been requested with
// all counters.
func NodeOf(name string, status *report.Status) Node {
	h := status.Hits
	if h == nil || h.Rules > 0 && len(h.Counters) == 0 && !h.Overflow {
		return Node{Name: name, Err: errNotCounted}
	}
	return Node{Name: name, Hits: h}
}
