package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/judge"
	"github.com/sluicenet/sluice/manifest"
)

// evaluateCommand judges flows by the thousand, for programs.
func evaluateCommand() *cobra.Command {
	var in manifests
	var flows string
	cmd := &cobra.Command{
		Use:   "evaluate [-f DIR] --flows FILE|-",
		Short: "Judge flows: JSON lines in, JSON lines out",
		Long: `Judges each flow and writes one line for it, in the same order, by the live cluster
of the kubeconfig or with -f by manifests. Flows are judged through the same compiled
tree, published, mapped and looked up, that packets are judged by.

A flow is one JSON object per line: src, dst, protocol (TCP, UDP, SCTP, ICMP, or
a number) and, for those that have ports, port (the destination's).

The answer has verdict (Allow or Deny), and for egress and ingress verdict,
reason (NotIsolated, Rule, NoRuleMatched, SameNode, SamePod, External), policy
and rule (what decided, else null), and isolatedBy where policies isolate.`,
		Example: `  echo '{"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80}' |
      sluice evaluate -f manifests/ --flows -`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return evaluate(cmd, &in, flows)
		},
	}
	in.orCluster(cmd)
	cmd.Flags().StringVar(&flows, "flows", "", "`file` with one flow per line, or - for standard input")
	return cmd
}

func evaluate(cmd *cobra.Command, in *manifests, flows string) (err error) {
	source, name, err := openFlows(cmd, in, flows)
	if err != nil {
		return err
	}
	defer source.Close()
	set, err := in.read(cmd)
	if err != nil {
		return err
	}
	snapshot := set.Snapshot()
	noteMeaning(cmd.ErrOrStderr(), set, snapshot)
	if !slices.ContainsFunc(set.Pods, func(p inventory.Pod) bool { return len(p.Addresses) > 0 }) {
		note(cmd.ErrOrStderr(), "no pod among the manifests has an address: every address is an external one")
	}
	cluster := judge.New(snapshot)
	defer closing(cluster, &err)
	return judgeLines(cluster, source, name, cmd.OutOrStdout())
}

// closing closes c and keeps the first error.
func closing(c io.Closer, err *error) {
	if closeErr := c.Close(); closeErr != nil && *err == nil {
		*err = closeErr
	}
}

func openFlows(cmd *cobra.Command, in *manifests, flows string) (io.ReadCloser, string, error) {
	switch flows {
	case "":
		return nil, "", wrongf("no flows: give a file or - with --flows; see %s --help", cmd.CommandPath())
	case manifest.Stdin:
		for _, path := range in.paths {
			if path == manifest.Stdin {
				return nil, "", wrongf("-f - and --flows - cannot both read standard input; put one of them in a file")
			}
		}
		return io.NopCloser(cmd.InOrStdin()), manifest.StdinName, nil
	}
	f, err := os.Open(flows)
	if err != nil {
		return nil, "", wrongf("%s: reading flows: %w", flows, err)
	}
	return f, flows, nil
}

// maxFlowLine bounds a line of flows, in bytes.
const maxFlowLine = 64 << 10

// judgeLines answers line by line. At the first line that is no flow it stops;
// the answers to the lines before it are written.
func judgeLines(cluster *judge.Cluster, flows io.Reader, name string, out io.Writer) (err error) {
	w := bufio.NewWriterSize(out, 256<<10)
	defer func() {
		if flushErr := w.Flush(); flushErr != nil && err == nil {
			err = fmt.Errorf("writing answers: %w", flushErr)
		}
	}()
	lines := bufio.NewScanner(flows)
	lines.Buffer(make([]byte, 0, maxFlowLine), maxFlowLine)
	var answer answerWriter
	n := 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		f, err := parseFlow(lines.Bytes())
		if err != nil {
			return wrongf("%s:%d: %w", name, n, err)
		}
		a, err := cluster.Judge(f)
		if err != nil {
			return err
		}
		if _, err := w.Write(answer.line(&a)); err != nil {
			return fmt.Errorf("writing answers: %w", err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return wrongf("%s:%d: the line is longer than %d bytes; a flow is one JSON object per line", name, n+1, maxFlowLine)
	case err != nil:
		return wrongf("%s:%d: reading flows: %w", name, n+1, err)
	}
	return nil
}
