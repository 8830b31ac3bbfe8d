// Package linting contains the flags and the output of the command lint.
package linting

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/choice"
	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/policy/lint"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/sarif"
)

// formatSARIF is the value of -o with which code hosts can read the findings.
const formatSARIF = "sarif"

// never is the value of --fail-on with which findings do not change the exit code.
const never = "never"

// Flags contains the values of the flags of the command.
type Flags struct {
	query.LintOptions

	failOn choice.Value
	output output.Format
}

// AddTo adds the flags to a command.
func (f *Flags) AddTo(cmd *cobra.Command) {
	f.failOn = choice.New("severity", string(lint.Warning), string(lint.Error), string(lint.Warning), string(lint.Note), never)
	flags := cmd.Flags()
	flags.StringVarP(&f.Namespace, "namespace", "n", "", "check only policies in this `namespace`")
	flags.BoolVar(&f.Complete, "complete", false, "the manifests contain all objects of the cluster, so findings\nabout missing objects are warnings")
	flags.StringSliceVar(&f.Ignore, "ignore", nil, "omit the findings of these `checks`, such as\nno-dns,host-bits; repeatable")
	flags.Var(&f.failOn, "fail-on", "exit with code 1 if there is a finding of this `severity` or of a\nmore severe one: "+f.failOn.List())
	f.output.AddTo(cmd, output.Text, output.Wide, output.JSON, output.YAML, formatSARIF)
}

// Write writes a report in the format of the flag -o. The `release` parameter is the version of Sluice.
func (f *Flags) Write(cmd *cobra.Command, r *query.LintReport, release string) error {
	if f.output.String() == formatSARIF {
		return sarif.Write(cmd.OutOrStdout(), r, release)
	}
	return f.output.Write(cmd, r)
}

// Fails reports whether the command fails because of the findings in a report.
func (f *Flags) Fails(r *query.LintReport) bool { return r.Fails(lint.Severity(f.failOn.String())) }
