package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query"
)

// maxNotes is the maximum number of invalid fields that a command lists.
const maxNotes = 10

// input reads the objects for a command from the files that the flag -f specifies. Some
// commands can also read the objects from a cluster. These commands have flags that select
// the cluster.
type input struct {
	paths []string
	// cluster contains the flags that select a cluster. If a command can read only files, it
	// is nil.
	cluster *clusterFlags
	// namespace is the current namespace of the selected cluster. If the objects were read
	// from files, it is "".
	namespace string
}

// addFlag adds the flag -f to a command.
func (i *input) addFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&i.paths, "filename", "f", nil,
		"manifests: a `file`, a directory and everything below it, or - for\nstandard input; repeatable")
}

// addClusterFlags adds the flag -f and the flags that select a cluster to a command.
func (i *input) addClusterFlags(cmd *cobra.Command) {
	i.addFlag(cmd)
	i.cluster = &clusterFlags{}
	i.cluster.addFlags(cmd)
}

// none returns an error if the user specified files or a cluster in addition to another flag
// that specifies the input. The parameter flag is the name of this other flag.
func (i *input) none(flag string) error {
	switch {
	case len(i.paths) > 0:
		return wrongf("-f and %s: give one of them", flag)
	case i.cluster.given():
		return wrongf("%s with --kubeconfig or --context: give this node's tree or a cluster, not both", flag)
	}
	return nil
}

// read reads the objects from files. If the user specified no files, it reads the objects
// from a cluster. It writes a note for everything that it omits.
func (i *input) read(cmd *cobra.Command) (*inventory.Set, error) {
	switch {
	case len(i.paths) > 0 && i.cluster != nil && i.cluster.given():
		return nil, wrongf("-f with --kubeconfig or --context: give files or a cluster, not both")
	case len(i.paths) > 0:
		return i.readFiles(cmd)
	case i.cluster == nil:
		return nil, wrongf("no manifests: give files, directories or - with -f; see %s --help", cmd.CommandPath())
	}
	connection, err := i.cluster.connect()
	if errors.Is(err, live.ErrNoCluster) {
		return nil, wrongf("no manifests and no cluster: give files, directories or - with -f, or a cluster with --kubeconfig; see %s --help", cmd.CommandPath())
	}
	if err != nil {
		return nil, err
	}
	i.namespace = connection.Namespace
	done := progress(cmd.ErrOrStderr(), "reading the cluster")
	set, err := connection.Read(cmd.Context())
	done()
	if err != nil {
		return nil, err
	}
	noteInvalid(cmd.ErrOrStderr(), set)
	return set, nil
}

func (i *input) readFiles(cmd *cobra.Command) (*inventory.Set, error) {
	done := progress(cmd.ErrOrStderr(), "reading manifests")
	set, err := manifest.Read(i.paths, cmd.InOrStdin())
	done()
	if err != nil {
		return nil, err
	}
	noteAll(cmd.ErrOrStderr(), set.Notes())
	return set, nil
}

// plannedCluster reads the objects, and assigns addresses to pods without a status. Users can
// thus check manifests before they create the objects in a cluster.
func (i *input) plannedCluster(cmd *cobra.Command) (*query.Cluster, error) {
	set, err := i.read(cmd)
	if err != nil {
		return nil, err
	}
	if n := set.AssignAddresses(); n > 0 {
		note(cmd.ErrOrStderr(), "%s without a status: assigned addresses from %s and %s", number(n, "pod", "pods"), inventory.BenchmarkIPv4, inventory.BenchmarkIPv6)
	}
	cluster := query.NewCluster(set)
	noteAll(cmd.ErrOrStderr(), cluster.Notes())
	return cluster, nil
}

func note(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "note: "+format+"\n", args...)
}

func noteAll(w io.Writer, notes []string) {
	for _, text := range notes {
		note(w, "%s", text)
	}
}

// noteInvalid writes a note for each invalid field that was omitted from a cluster's objects.
func noteInvalid(w io.Writer, set *inventory.Set) {
	for i, e := range set.Invalid {
		if i == maxNotes {
			note(w, "%d more invalid fields are left out", len(set.Invalid)-i)
			break
		}
		note(w, "%s; left out, as agents do", e)
	}
}

// number returns a number and a noun, such as "1 pod" or "2 pods".
func number(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
