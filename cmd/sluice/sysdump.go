package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/cmd/sluice/internal/terminal"
	"github.com/sluicenet/sluice/internal/buildinfo"
	"github.com/sluicenet/sluice/sysdump"
)

func sysdumpCommand() *cobra.Command {
	var cluster input.ClusterFlags
	o := sysdump.Options{Release: buildinfo.Version()}
	var file string
	cmd := &cobra.Command{
		Use:   "sysdump",
		Short: "Write one archive for a bug report",
		Long: `Writes an archive with the objects and logs that a bug report needs: the objects of Sluice,
NetworkPolicies, ClusterNetworkPolicies, the labels and addresses of Pods, Namespaces
and Nodes, the logs and events of Sluice, and the output of check and status.

The archive contains no Secrets, no environment variables, and only annotations and
ConfigMaps of Sluice. It contains names and addresses; --anonymize replaces names. What
the caller may not read is listed on standard error and in the README.txt of the archive.`,
		Example: `  sluice sysdump
  sluice sysdump --anonymize --file report.tar.gz
  sluice sysdump --file - | tar -tz`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Lines < 1 || o.Pods < 0 {
				return wrongf("--lines %d and --pods %d: want at least 1 and 0", o.Lines, o.Pods)
			}
			o.Now = time.Now()
			if file == "" {
				file = "sluice-sysdump-" + o.Now.UTC().Format("20060102-150405") + ".tar.gz"
			}
			return writeSysdump(cmd, &cluster, file, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "file", "", "`archive` to write, or - for standard output (default\nsluice-sysdump-TIME.tar.gz)")
	f.BoolVar(&o.Anonymize, "anonymize", false, "replace the names of namespaces, pods, policies, rules,\nnodes, workloads, labels and domains, each by the same\nname everywhere")
	f.IntVar(&o.Lines, "lines", 2000, "maximum `number` of lines of each log")
	f.IntVar(&o.Pods, "pods", 20, "maximum `number` of node pods whose logs are read; pods\nwith problems come first")
	addSystemNamespaceFlag(cmd, &o.Namespace)
	cluster.AddFlags(cmd)
	return cmd
}

// writeSysdump writes an archive to a file, or to standard output if the file is "-".
func writeSysdump(cmd *cobra.Command, cluster *input.ClusterFlags, file string, o sysdump.Options) (err error) {
	connection, err := connectForCheck(cmd, cluster)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if file != "-" {
		f, openErr := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if openErr != nil {
			return fmt.Errorf("writing the archive: %w", openErr)
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		out = f
	}
	done := terminal.Progress(cmd.ErrOrStderr(), "reading the cluster")
	unread, err := sysdump.Write(cmd.Context(), connection, out, o)
	done()
	for _, text := range unread {
		input.Note(cmd.ErrOrStderr(), "not in the archive: %s", text)
	}
	if err == nil && file != "-" {
		fmt.Fprintf(cmd.ErrOrStderr(), "wrote %s\n", file)
	}
	return err
}
