package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/policy"
)

// notesShown bounds how many problems of one sort one run lists.
const notesShown = 10

// manifests is the -f flag, and for commands that ask the live cluster without
// it, the flags that say which.
type manifests struct {
	paths   []string
	cluster *clusterFlags
	// namespace is the current one of the live cluster, "" with files.
	namespace string
}

func (m *manifests) addFlag(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&m.paths, "filename", "f", nil,
		"`file`, directory (and below) or - for standard input; repeatable")
}

// orCluster makes the command ask the live cluster where no file is given.
func (m *manifests) orCluster(cmd *cobra.Command) {
	m.addFlag(cmd)
	m.cluster = &clusterFlags{}
	m.cluster.addFlags(cmd)
}

// read reads the manifests, or the objects of the cluster. What was left out,
// and what will not be as it may seem, goes to standard error as notes.
func (m *manifests) read(cmd *cobra.Command) (*inventory.Set, error) {
	switch {
	case len(m.paths) > 0 && m.cluster != nil && m.cluster.given():
		return nil, wrongf("-f with --kubeconfig or --context: give files or a cluster, not both")
	case len(m.paths) > 0:
		return m.readFiles(cmd)
	case m.cluster == nil:
		return nil, wrongf("no manifests: give files, directories or - with -f; see %s --help", cmd.CommandPath())
	}
	connection, err := m.cluster.connect()
	if errors.Is(err, live.ErrNoCluster) {
		return nil, wrongf("no manifests and no cluster: give files, directories or - with -f, or a cluster with --kubeconfig; see %s --help", cmd.CommandPath())
	}
	if err != nil {
		return nil, err
	}
	m.namespace = connection.Namespace
	done := progress(cmd.ErrOrStderr(), "reading the cluster")
	set, err := connection.Read(cmd.Context())
	done()
	if err != nil {
		return nil, err
	}
	noteFaults(cmd.ErrOrStderr(), set)
	return set, nil
}

// where names the source of the objects in messages.
func (m *manifests) where() string {
	if len(m.paths) > 0 {
		return "among the manifests"
	}
	return "in the cluster"
}

func (m *manifests) readFiles(cmd *cobra.Command) (*inventory.Set, error) {
	done := progress(cmd.ErrOrStderr(), "reading manifests")
	set, err := manifest.Read(m.paths, cmd.InOrStdin())
	done()
	if err != nil {
		return nil, err
	}
	noteSkipped(cmd.ErrOrStderr(), set)
	return set, nil
}

func note(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "note: "+format+"\n", args...)
}

func noteSkipped(w io.Writer, set *inventory.Set) {
	if len(set.Skipped) == 0 {
		return
	}
	var kinds []string
	for _, s := range set.Skipped {
		kinds = append(kinds, fmt.Sprintf("%d %s", s.Count, s.Kind))
	}
	note(w, "skipped kinds that decide nothing: %s", strings.Join(kinds, ", "))
}

// noteFaults tells what of a live cluster's objects could not be read.
func noteFaults(w io.Writer, set *inventory.Set) {
	for i, fault := range set.Invalid {
		if i == notesShown {
			note(w, "and %d more that are left out", len(set.Invalid)-i)
			break
		}
		note(w, "%s; left out, as agents do", fault)
	}
}

// noteMeaning tells what makes verdicts differ from what a reader of the
// manifests may expect.
func noteMeaning(w io.Writer, set *inventory.Set, s *policy.Snapshot) {
	if missing := set.NamespacesWithoutObject(); len(missing) > 0 && usesNamespaceSelectors(set) {
		note(w, "no Namespace object for %s: no namespaceSelector matches the pods there", few(missing))
	}
	problems := s.Problems()
	for i, p := range problems {
		if i == notesShown {
			note(w, "and %d more; sluice lint lists them", len(problems)-i)
			break
		}
		note(w, "policy %s", p)
	}
}

// planAddresses gives hand-written pods addresses and says so.
func planAddresses(w io.Writer, set *inventory.Set) {
	if n := set.AssignAddresses(); n > 0 {
		note(w, "%s without a status: given addresses from %s and %s for planning", number(n, "pod", "pods"), inventory.BenchmarkIPv4, inventory.BenchmarkIPv6)
	}
}

func usesNamespaceSelectors(set *inventory.Set) bool {
	for _, p := range set.Policies {
		for _, r := range p.Spec.Ingress {
			for _, peer := range r.From {
				if peer.NamespaceSelector != nil {
					return true
				}
			}
		}
		for _, r := range p.Spec.Egress {
			for _, peer := range r.To {
				if peer.NamespaceSelector != nil {
					return true
				}
			}
		}
	}
	return false
}

// few joins the first of many names.
func few(names []string) string {
	const shown = 5
	if len(names) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
	}
	return strings.Join(names, ", ")
}
