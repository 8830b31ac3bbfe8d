// Package source reads what the page of sluice ui shows: from a cluster, or from manifests and a
// dataplane of this node.
package source

import (
	"context"
	"errors"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/query/hits"
	"github.com/sluicenet/sluice/query/status"
)

// ErrNoReports is returned by Reports if no cluster reports the enforcement.
var ErrNoReports = errors.New("manifests do not report the enforcement")

// Source is the origin of everything that the page shows. Its methods may be called concurrently.
type Source interface {
	// Name returns the name of the cluster, or a list of files.
	Name() string
	// Objects reads all objects. Pods without an address have an assigned one, and a workload
	// without pods has a pod for its template.
	Objects(ctx context.Context) (*inventory.Set, error)
	// Reports reads the status objects of Sluice. It can return ErrNoReports.
	Reports(ctx context.Context) (*status.Reports, error)
	// Manifest returns the manifest of a policy that Objects returned.
	Manifest(ctx context.Context, p *inventory.Policy) (*Manifest, error)
	// Hits reads the counters of rules from the given nodes. The counters of a node that does not
	// respond are missing, and the Node then contains the error. Without a dataplane, there are none.
	Hits(ctx context.Context, nodes []string) ([]hits.Node, error)
	// Flows calls handle for each flow that a node evaluates, until the context ends. It calls
	// note if the stream of a node starts or fails. Both functions may be called concurrently.
	Flows(ctx context.Context, handle func(node string, e *report.Event), note func(Note))
}

// Note describes the stream of flow events of a node.
type Note struct {
	// Node is empty if there is only one node, or if the message is about all nodes.
	Node string `json:"node,omitempty"`
	// Listening is true while the stream is open. Otherwise Message states why it is not.
	Listening bool   `json:"listening"`
	Message   string `json:"message,omitempty"`
}

// Manifest is the text of one object.
type Manifest struct {
	// File is the file that contains the object, or "" if the text comes from a cluster.
	File string `json:"file,omitempty"`
	// Line is the number of the first line of the text in the file, or 1.
	Line int    `json:"line"`
	Text string `json:"text"`
}

// planned completes a set for queries, as the commands do.
func planned(set *inventory.Set) *inventory.Set {
	set.AddTemplates()
	set.AssignAddresses()
	return set
}
