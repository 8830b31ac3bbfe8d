// Package input reads the objects for a command from files or from a cluster.
package input

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/terminal"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query"
)

// maxNotes is the maximum number of invalid fields that a command lists.
const maxNotes = 10

// Input reads the objects for a command from the files that the flag -f specifies. Some
// commands can also read the objects from a cluster. These commands have flags that select
// the cluster.
type Input struct {
	// Paths contains the values of the flag -f.
	Paths []string
	// cluster contains the flags that select a cluster. It is nil for a command that can read only
	// files.
	cluster *ClusterFlags
	// Namespace is the current namespace of the selected cluster. It is "" if the objects were read
	// from files.
	Namespace string
	// Connection is the connection to the selected cluster. It is nil if the objects were read from
	// files.
	Connection *live.Connection
}

// AddFlag adds the flag -f to a command.
func (i *Input) AddFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&i.Paths, "filename", "f", nil,
		"manifests: a `file`, a directory and everything below it, or - for\nstandard input; repeatable")
}

// AddClusterFlags adds the flag -f and the flags that select a cluster to a command.
func (i *Input) AddClusterFlags(cmd *cobra.Command) {
	i.AddFlag(cmd)
	i.cluster = &ClusterFlags{}
	i.cluster.AddFlags(cmd)
}

// None returns an error if the user specified files or a cluster in addition to another flag
// that specifies the input. The `flag` parameter is the name of this other flag.
func (i *Input) None(flag string) error {
	switch {
	case len(i.Paths) > 0:
		return Errorf("-f cannot be used with %s", flag)
	case i.cluster.Given():
		return Errorf("%s cannot be used with --context or another flag that selects a cluster", flag)
	}
	return nil
}

// Read reads the objects from files. If the user specified no files, it reads the objects
// from a cluster. It writes a note for everything that it omits.
func (i *Input) Read(cmd *cobra.Command) (*inventory.Set, error) {
	switch {
	case len(i.Paths) > 0 && i.cluster != nil && i.cluster.Given():
		return nil, Errorf("-f cannot be used with --context or another flag that selects a cluster")
	case len(i.Paths) > 0:
		return ReadFiles(cmd, i.Paths)
	case i.cluster == nil:
		return nil, Errorf("no manifests: give files, directories or - with -f; see %s --help", cmd.CommandPath())
	}
	connection, err := i.cluster.Connect()
	if errors.Is(err, live.ErrNoCluster) {
		return nil, Errorf("no manifests and no cluster: give files, directories or - with -f, or a cluster with --kubeconfig; see %s --help", cmd.CommandPath())
	}
	if err != nil {
		return nil, err
	}
	i.Namespace, i.Connection = connection.Namespace, connection
	return ReadCluster(cmd, connection)
}

// ReadFiles reads the objects in files and directories. It writes a note for everything that it omits.
func ReadFiles(cmd *cobra.Command, paths []string) (*inventory.Set, error) {
	done := terminal.Progress(cmd.ErrOrStderr(), "reading manifests")
	set, err := manifest.Read(paths, cmd.InOrStdin())
	done()
	if err != nil {
		return nil, err
	}
	NoteAll(cmd.ErrOrStderr(), set.Notes())
	return set, nil
}

// ReadCluster reads the objects of a cluster. It writes a note for everything that it omits.
func ReadCluster(cmd *cobra.Command, connection *live.Connection) (*inventory.Set, error) {
	done := terminal.Progress(cmd.ErrOrStderr(), "reading the cluster")
	set, err := connection.Read(cmd.Context())
	done()
	if err != nil {
		return nil, err
	}
	NoteAll(cmd.ErrOrStderr(), set.Notes())
	noteInvalid(cmd.ErrOrStderr(), set)
	return set, nil
}

// Planned reads the objects, and adds pods for the workloads that have no pods.
func (i *Input) Planned(cmd *cobra.Command) (*inventory.Set, error) {
	set, err := i.Read(cmd)
	if err != nil {
		return nil, err
	}
	switch added := set.AddTemplates(); len(added) {
	case 0:
	case 1:
		Note(cmd.ErrOrStderr(), "%s has no pods, so its pod template counts as a pod", added[0])
	default:
		Note(cmd.ErrOrStderr(), "%d workloads, such as %s, have no pods, so their pod templates count as pods", len(added), added[0])
	}
	return set, nil
}

// PlannedCluster reads the objects and adds pods for the workloads that have no pods. It assigns
// addresses to pods without a status, so that users can check manifests before they create the
// objects in a cluster.
func (i *Input) PlannedCluster(cmd *cobra.Command) (*query.Cluster, error) {
	set, err := i.Planned(cmd)
	if err != nil {
		return nil, err
	}
	if n := set.AssignAddresses(); n > 0 {
		Note(cmd.ErrOrStderr(), "%s no status, so addresses from %s and %s are assigned", number(n, "pod has", "pods have"), inventory.BenchmarkIPv4, inventory.BenchmarkIPv6)
	}
	cluster := query.NewCluster(set)
	NoteAll(cmd.ErrOrStderr(), cluster.Notes())
	return cluster, nil
}

// Note writes a note to w.
func Note(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "note: "+format+"\n", args...)
}

// NoteAll writes notes to w.
func NoteAll(w io.Writer, notes []string) {
	for _, text := range notes {
		Note(w, "%s", text)
	}
}

// noteInvalid writes a note for each invalid field that was omitted from a cluster's objects.
func noteInvalid(w io.Writer, set *inventory.Set) {
	for i, e := range set.Invalid {
		if i == maxNotes {
			Note(w, "%d more invalid fields are left out", len(set.Invalid)-i)
			break
		}
		Note(w, "%s; left out, as agents do", e)
	}
}

// number returns the number n and the matching words, such as "1 pod has" or "2 pods have".
func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
