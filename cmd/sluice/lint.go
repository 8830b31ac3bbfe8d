package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/input"
	"github.com/sluicenet/sluice/cmd/sluice/internal/linting"
	"github.com/sluicenet/sluice/cmd/sluice/internal/output"
	"github.com/sluicenet/sluice/cmd/sluice/internal/terminal"
	"github.com/sluicenet/sluice/internal/buildinfo"
	"github.com/sluicenet/sluice/query"
)

func lintCommand() *cobra.Command {
	var in input.Input
	var flags linting.Flags
	cmd := &cobra.Command{
		Use:   "lint [-f DIR]",
		Short: "Find policies that probably do not do what their authors meant",
		Long: `Finds policies that are valid but probably do not do what their authors meant: they
select no pod, name ports that no pod has, have two peers where one was meant, contain
the address of a Service, deny DNS, and so on. It reads the cluster of the kubeconfig,
or the manifests of -f. Checks that need pods, namespaces or Services are left out if
there are none. The pod template of a workload without pods counts as a pod.

An error is a part of a policy that cannot be understood and allows nothing. A warning
is almost always a mistake. A note may be intended. If the input consists of manifests,
findings about missing objects are notes: give --complete if nothing is missing.
The exit code is 1 if there are errors or warnings; --fail-on changes this.`,
		Example: `  sluice lint -n shop
  sluice lint -f manifests/ --complete --ignore host-bits
  sluice lint -f manifests/ -o sarif --fail-on error > sluice.sarif
  kubectl get netpol,pods,namespaces,services -A -o yaml | sluice lint -f - -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := lint(cmd, &in, flags.LintOptions)
			if err != nil {
				return err
			}
			if err := flags.Write(cmd, r, buildinfo.Version()); err != nil {
				return err
			}
			if flags.Fails(r) {
				return output.ErrReported
			}
			return nil
		},
	}
	in.AddClusterFlags(cmd)
	flags.AddTo(cmd)
	return cmd
}

func lint(cmd *cobra.Command, in *input.Input, options query.LintOptions) (r *query.LintReport, err error) {
	set, err := in.Planned(cmd)
	if err != nil {
		return nil, err
	}
	cluster := query.NewCluster(set)
	defer closing(cluster, &err)
	defer terminal.Progress(cmd.ErrOrStderr(), "checking policies")()
	return cluster.Lint(options)
}
