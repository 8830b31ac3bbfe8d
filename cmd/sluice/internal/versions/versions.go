// Package versions reads the versions of the components of Sluice and of Kubernetes.
package versions

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/internal/buildinfo"
	"github.com/sluicenet/sluice/internal/table"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/query"
)

// Versions contains versions. The versions of the cluster are empty if they were not read.
type Versions struct {
	query.TypeMeta
	Client Client `json:"client"`
	// Cluster is the name of the kubeconfig context.
	Cluster    string `json:"cluster,omitempty"`
	Kubernetes string `json:"kubernetes,omitempty"`
	// Operator is the version of the operator, as the status of the Enforcer reports it.
	Operator string `json:"operator,omitempty"`
	// Nodes contains the versions that the NodeEnforcers report, sorted by node.
	Nodes []Node `json:"nodes,omitempty"`
}

// Client is the version of this program.
type Client struct {
	Version string `json:"version"`
	// Build contains the version, the commit, the Go version and the platform.
	Build string `json:"build"`
}

// Node contains the versions of one node.
type Node struct {
	Name      string `json:"name"`
	Agent     string `json:"agent"`
	Dataplane string `json:"dataplane"`
}

// New returns the version of this program.
func New() *Versions {
	return &Versions{TypeMeta: query.NewTypeMeta("Versions"), Client: Client{Version: buildinfo.Version(), Build: buildinfo.Describe()}}
}

// Read adds the versions of the cluster. If no cluster is configured, it adds nothing. If Sluice is not
// installed in the cluster, it adds only the name of the cluster and the version of Kubernetes.
func (v *Versions) Read(ctx context.Context, cluster *input.ClusterFlags) error {
	connection, err := cluster.Connect()
	if errors.Is(err, live.ErrNoCluster) {
		return nil
	}
	if err != nil {
		return err
	}
	v.Cluster = connection.Name
	kubernetes, err := connection.Version(ctx)
	if err != nil {
		return fmt.Errorf("reading the version of Kubernetes: %w", err)
	}
	v.Kubernetes = kubernetes.GitVersion
	installed, err := connection.Installed(ctx)
	var none *live.NotInstalledError
	if errors.As(err, &none) {
		return nil
	}
	if err != nil {
		return err
	}
	if installed.Enforcer != nil {
		v.Operator = installed.Enforcer.Status.OperatorVersion
	}
	for i := range installed.Nodes {
		n := &installed.Nodes[i]
		v.Nodes = append(v.Nodes, Node{n.Name, n.Status.Versions.Agent, n.Status.Versions.Dataplane})
	}
	slices.SortFunc(v.Nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	return nil
}

// WriteText writes the versions as text. It counts the nodes that have the same versions.
func (v *Versions) WriteText(out io.Writer) error {
	counts := map[Node]int{}
	var order []Node
	for _, n := range v.Nodes {
		n.Name = ""
		if counts[n] == 0 {
			order = append(order, n)
		}
		counts[n]++
	}
	t := table.New("nodes", "agent", "dataplane").Right(0)
	for _, n := range order {
		t.Row(strconv.Itoa(counts[n]), table.Cell(n.Agent), table.Cell(n.Dataplane))
	}
	return v.write(out, t)
}

// WriteWide writes the versions as text, with a row for each node.
func (v *Versions) WriteWide(out io.Writer) error {
	t := table.New("node", "agent", "dataplane")
	for _, n := range v.Nodes {
		t.Row(n.Name, table.Cell(n.Agent), table.Cell(n.Dataplane))
	}
	return v.write(out, t)
}

func (v *Versions) write(out io.Writer, nodes *table.Table) error {
	w := bufio.NewWriter(out)
	t := new(table.Table).Row("client", v.Client.Build)
	if v.Kubernetes != "" {
		t.Row("cluster", v.Cluster).Row("kubernetes", v.Kubernetes)
	}
	if v.Operator != "" {
		t.Row("operator", v.Operator)
	}
	_ = t.Write(w, "") // A writer with a buffer returns its error when it is flushed.
	if len(v.Nodes) > 0 {
		fmt.Fprintln(w)
		_ = nodes.Write(w, "")
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing versions: %w", err)
	}
	return nil
}
