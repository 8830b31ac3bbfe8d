package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/cmd/sluice/internal/page"
)

func uiCommand() *cobra.Command {
	var flags page.Flags
	cmd := &cobra.Command{
		Use:   "ui [-f DIR]",
		Short: "Serve a web page with a map of the workloads, the flows and the policies",
		Long: `Serves a web page that shows a map of the workloads, the flows that the nodes evaluate,
and the policies with their findings. The page changes nothing.

The command reads the cluster of the kubeconfig with your rights, or the manifests of
-f. It listens only on this machine. It prints the address of the page, which works only
once, in one browser.`,
		Example: `  sluice ui
  sluice ui -f manifests/`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.Serve(cmd) },
	}
	flags.AddTo(cmd)
	return cmd
}
