package main

import (
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/decisions"
)

// formatLines is the default format of the command: one JSON object per line.
const formatLines = "jsonl"

func evaluateCommand() *cobra.Command {
	var in input.Input
	var flows string
	var out output.Format
	cmd := &cobra.Command{
		Use:   "evaluate [-f DIR] --flows FILE|-",
		Short: "Evaluate many flows, with JSON lines as input and output",
		Long: `Evaluates each flow and writes one line for it, in the same order. It reads the
cluster of the kubeconfig, or the manifests of -f. It evaluates the same compiled tree as
a node does for packets.

A flow is one JSON object per line: src, dst, protocol (TCP, UDP, SCTP, ICMP or a
number) and port (the destination port, for TCP, UDP and SCTP).

A decision has a verdict (Allow or Deny) and two sides, egress and ingress. Each side has
the fields verdict, reason (NotIsolated, Rule, NoRuleMatched, SameNode, SamePod or
External), policy, rule and isolatedBy. rule is the rule that decided, or null.
isolatedBy lists the policies that isolate the pod.`,
		Example: `  echo '{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80}' |
      sluice evaluate -f manifests/ --flows -`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return evaluate(cmd, &in, flows, &out)
		},
	}
	in.AddClusterFlags(cmd)
	out.AddTo(cmd, formatLines, output.Text, output.Wide, output.JSON, output.YAML)
	cmd.Flags().StringVar(&flows, "flows", "", "`file` with one flow per line, or - for standard input")
	return cmd
}

func evaluate(cmd *cobra.Command, in *input.Input, flows string, out *output.Format) (err error) {
	source, name, err := openFlows(cmd, in, flows)
	if err != nil {
		return err
	}
	defer source.Close()
	set, err := in.Read(cmd)
	if err != nil {
		return err
	}
	cluster := query.NewCluster(set)
	defer closing(cluster, &err)
	input.NoteAll(cmd.ErrOrStderr(), cluster.Notes())
	if !cluster.HasAddresses() {
		input.Note(cmd.ErrOrStderr(), "no pod has an address, so every address is an external one")
	}
	if out.String() == formatLines {
		return cluster.EvaluateLines(source, name, cmd.OutOrStdout())
	}
	list, err := decisions.Read(cluster, source, name)
	if err != nil {
		return err
	}
	return out.Write(cmd, list)
}

// openFlows opens the file that the flag --flows specifies, or standard input. It also
// returns the name of the input for messages.
func openFlows(cmd *cobra.Command, in *input.Input, flows string) (io.ReadCloser, string, error) {
	switch flows {
	case "":
		return nil, "", wrongf("no flows: give a file or - with --flows; see %s --help", cmd.CommandPath())
	case manifest.Stdin:
		if slices.Contains(in.Paths, manifest.Stdin) {
			return nil, "", wrongf("-f - and --flows - cannot both read standard input; put one of them in a file")
		}
		return io.NopCloser(cmd.InOrStdin()), manifest.StdinName, nil
	}
	f, err := os.Open(flows)
	if err != nil {
		return nil, "", wrongf("%s: reading flows: %w", flows, err)
	}
	return f, flows, nil
}

// closing closes c. If *err is nil, closing stores the error of Close in *err.
func closing(c io.Closer, err *error) {
	if closeErr := c.Close(); closeErr != nil && *err == nil {
		*err = closeErr
	}
}
