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
		Long: `Serves a web page on this machine that shows what the policies do: a map of the
workloads, the flows that nodes evaluate, and the policies with their findings. It
reads the cluster of the kubeconfig with the rights of the user, or with -f manifests.
The page changes nothing. Only this machine can reach it, with the printed address,
which works once.`,
		Example: `  sluice ui
  sluice ui -f manifests/`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.Serve(cmd) },
	}
	flags.AddTo(cmd)
	return cmd
}
