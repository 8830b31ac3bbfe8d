package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluicenet/sluice/controllers/node"
)

// gcPercent is how much garbage the agent may have beside what lives, in percent,
// unless GOGC says otherwise.
const gcPercent = 20

// agentFlags are the flags of the agent command.
type agentFlags struct {
	nodeName       string
	stateDir       string
	kubeconfig     string
	metricsAddress string
	healthAddress  string
	verbose        bool
}

func agentCommand() *cobra.Command {
	var flags agentFlags
	cmd := &cobra.Command{
		Use:   "agent --node-name NAME --state-dir DIR",
		Short: "Keep a node's published tree up to date with the API server",
		Long: `Watches NetworkPolicies, Pods, Namespaces and Nodes and publishes what they mean
on one node in the state directory, where a running dataplane picks it up. It
needs no privilege on the node.

Until it knows every object, and while the API server is away, the tree that is
published stays in force. /readyz on the health address says which holds.`,
		Example: `  sluice agent --node-name worker-1 --state-dir /run/sluice
  sluice agent --node-name worker-1 --kubeconfig ~/.kube/config`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case flags.nodeName == "":
				return wrongf("--node-name is missing: give the name of the Node object of this node")
			case flags.stateDir == "":
				return wrongf("--state-dir is empty: give the directory that the dataplane reads")
			}
			config, err := restConfig(flags.kubeconfig)
			if err != nil {
				return err
			}
			return runAgent(cmd.Context(), config, &flags, zap.New(zap.WriteTo(cmd.ErrOrStderr()), zap.UseDevMode(flags.verbose)))
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.nodeName, "node-name", "", "`name` of this node's Node object")
	f.StringVar(&flags.stateDir, "state-dir", "/run/sluice", "`directory` that agent and dataplane share")
	f.StringVar(&flags.kubeconfig, "kubeconfig", "", "`file` that names the API server; else as kubectl does, or as a pod")
	f.StringVar(&flags.metricsAddress, "metrics-address", ":8080", "`address` to serve metrics on; 0 serves none")
	f.StringVar(&flags.healthAddress, "health-address", ":8081", "`address` for /healthz and /readyz; 0 serves none")
	f.BoolVarP(&flags.verbose, "verbose", "v", false, "log for developers")
	return cmd
}

// restConfig says how to reach the API server.
func restConfig(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		if kubeconfig != "" {
			return nil, wrongf("--kubeconfig %s: %w", kubeconfig, err)
		}
		return nil, wrongf("--kubeconfig is missing, and neither KUBECONFIG nor a service account says how to reach the API server: %w", err)
	}
	return config, nil
}

// runAgent keeps the tree up to date until the context ends.
func runAgent(ctx context.Context, config *rest.Config, flags *agentFlags, log logr.Logger) error {
	ctrllog.SetLogger(log)
	// Most of the agent's memory is objects that live long, on every node of the
	// cluster, and it makes little garbage: a smaller share of it for garbage costs
	// little time.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	err := node.Run(ctx, config, node.Options{
		Node:           flags.nodeName,
		StateDir:       flags.stateDir,
		MetricsAddress: flags.metricsAddress,
		HealthAddress:  flags.healthAddress,
		Log:            log,
		Registry:       ctrlmetrics.Registry,
	})
	if err != nil {
		return fmt.Errorf("running agent: %w", err)
	}
	return nil
}
