package source

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/query/hits"
	"github.com/sluicenet/sluice/query/status"
)

// maxStreams is the maximum number of nodes whose flows or counters the page reads at the same time.
// Each of them costs the API server and the operator a connection.
const maxStreams = 50

// Cluster reads a cluster with the rights of the user.
type Cluster struct {
	connection *live.Connection
	nodes      []string
}

// NewCluster returns a source for a cluster. If the list of nodes is not empty, the page shows only
// the flows of these nodes.
func NewCluster(connection *live.Connection, nodes []string) *Cluster {
	return &Cluster{connection, nodes}
}

// Name returns the name of the kubeconfig context.
func (c *Cluster) Name() string { return c.connection.Name }

// Objects reads all objects that affect policies.
func (c *Cluster) Objects(ctx context.Context) (*inventory.Set, error) {
	set, err := c.connection.Read(ctx)
	if err != nil {
		return nil, err
	}
	return planned(set), nil
}

// Reports reads the status objects of Sluice.
func (c *Cluster) Reports(ctx context.Context) (*status.Reports, error) {
	r, err := c.connection.Reports(ctx)
	if err != nil {
		return nil, err
	}
	return (*status.Reports)(r), nil
}

var networkPolicy = schema.GroupVersionKind{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"}

// Manifest reads a policy from the API server.
func (c *Cluster) Manifest(ctx context.Context, p *inventory.Policy) (*Manifest, error) {
	object, err := c.policy(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("reading %s %s: %w", p.Kind(), p, err)
	}
	delete(object.Object, "status")
	annotations := object.GetAnnotations()
	delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
	kept := map[string]any{"name": object.GetName()}
	if object.GetNamespace() != "" {
		kept["namespace"] = object.GetNamespace()
	}
	if len(object.GetLabels()) > 0 {
		kept["labels"] = object.GetLabels()
	}
	if len(annotations) > 0 {
		kept["annotations"] = annotations
	}
	object.Object["metadata"] = kept
	text, err := yaml.Marshal(object.Object)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", p, err)
	}
	return &Manifest{Line: 1, Text: string(text)}, nil
}

func (c *Cluster) policy(ctx context.Context, p *inventory.Policy) (*unstructured.Unstructured, error) {
	if p.Scope != "" {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(networkPolicy)
		return object, c.connection.Get(ctx, p.Scope, p.Name, object)
	}
	list, _, err := c.connection.ClusterNetworkPolicies(ctx)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(list, func(o unstructured.Unstructured) bool { return o.GetName() == p.Name })
	if at < 0 {
		return nil, fmt.Errorf("it does not exist any more")
	}
	return &list[at], nil
}

// Hits reads the counters of the given nodes, or of those of them that the user selected.
func (c *Cluster) Hits(ctx context.Context, nodes []string) ([]hits.Node, error) {
	if len(c.nodes) > 0 {
		nodes = slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return !slices.Contains(c.nodes, n) })
	}
	return hits.Read(ctx, c.connection, nodes[:min(len(nodes), maxStreams)]), nil
}

// Flows reads the flows of all nodes, or of the nodes that the user selected.
func (c *Cluster) Flows(ctx context.Context, handle func(node string, e *report.Event), note func(Note)) {
	nodes := c.nodes
	for len(nodes) == 0 && ctx.Err() == nil {
		var err error
		if nodes, err = c.connection.NodeNames(ctx); err == nil && len(nodes) > 0 {
			break
		}
		message := "no node has an agent of Sluice"
		if err != nil {
			message = err.Error()
		}
		note(Note{Message: message})
		pause(ctx, 10*retry)
	}
	if len(nodes) > maxStreams {
		note(Note{Message: fmt.Sprintf("The page shows flows of %d of %d nodes. Select nodes with --node.", maxStreams, len(nodes))})
		nodes = nodes[:maxStreams]
	}
	var running sync.WaitGroup
	for _, node := range nodes {
		running.Go(func() { c.follow(ctx, node, handle, note) })
	}
	running.Wait()
}

// follow reads the flows of a node until the context ends. If a stream ends, it opens a new one.
func (c *Cluster) follow(ctx context.Context, node string, handle func(node string, e *report.Event), note func(Note)) {
	for ctx.Err() == nil {
		err := c.copyFlows(ctx, node, handle, note)
		if ctx.Err() != nil {
			return
		}
		note(Note{Node: node, Message: err.Error()})
		pause(ctx, retry)
	}
}

// copyFlows reads one stream until it ends. It never returns nil.
func (c *Cluster) copyFlows(ctx context.Context, node string, handle func(node string, e *report.Event), note func(Note)) error {
	stream, err := c.connection.Flows(ctx, node, false)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	note(Note{Node: node, Listening: true})
	lines := json.NewDecoder(stream)
	for {
		var event report.Event
		if err := lines.Decode(&event); err != nil {
			return fmt.Errorf("the stream ended: %w", err)
		}
		handle(node, &event)
	}
}
