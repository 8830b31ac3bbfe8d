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
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/sluicenet/sluice/cmd/sluice/internal/daemon"
	"github.com/sluicenet/sluice/cmd/sluice/internal/scope"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/node"
)

// gcPercent is the agent's value of GOGC, unless the environment variable GOGC is set. A
// garbage collection starts when the heap has grown by 20 % since the previous one.
const gcPercent = 20

// agentFlags are the flags of the command sluice agent.
type agentFlags struct {
	daemon.Flags

	node       string
	stateDir   string
	kubeconfig string
	namespace  string
}

func agentCommand() *cobra.Command {
	var flags agentFlags
	cmd := &cobra.Command{
		Use:   "agent --node NAME --state-dir DIR",
		Short: "Keep the published tree of a node up to date with the API server",
		Long: `Watches NetworkPolicies, Pods, Namespaces and its own Node, compiles them into the tree
of this node, and publishes the tree in the state directory, where a running dataplane
enforces it. The agent needs no privilege on the node.

Until the agent has read all objects, and while the API server is unavailable, the
dataplane enforces the last published tree. In both cases, /readyz on the health address
fails. The health address can be unix:PATH, where PATH is the path of a socket.

The metrics address serves HTTPS. A request needs a bearer token. The API server
authenticates the token. It then checks whether the user may get the path /metrics, or read
the status or the flow events of this node.

If another agent of the node already publishes, this agent waits until the other agent ends,
and then publishes at once.`,
		Example: `  sluice agent --node worker-1 --state-dir /run/sluice
  sluice agent --node worker-1 --kubeconfig ~/.kube/config`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case flags.node == "":
				return wrongf("--node is missing: give the name of the Node object of this node")
			case flags.stateDir == "":
				return wrongf("--state-dir is empty: give the directory that the dataplane reads")
			}
			config, err := restConfig(flags.kubeconfig)
			if err != nil {
				return err
			}
			return runAgent(cmd.Context(), config, &flags, flags.Logger(cmd))
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.node, "node", "", "`name` of the Node object of this node")
	addStateDirFlag(cmd, &flags.stateDir)
	addKubeconfigFlag(cmd, &flags.kubeconfig)
	f.StringVarP(&flags.namespace, "namespace", "n", rbac.Namespace, "`namespace` of operator and node pods")
	flags.Add(cmd, ":9640", ":8081")
	flags.AddMetricsPlain(cmd)
	return cmd
}

// addStateDirFlag adds the flag --state-dir to a command that runs on a node.
func addStateDirFlag(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "state-dir", scope.DefaultStateDir, "`directory` of agent and dataplane")
}

// addKubeconfigFlag adds the flag --kubeconfig to a command that usually runs in a pod.
func addKubeconfigFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "kubeconfig", "", "kubeconfig `file` (default: that of kubectl, or a service account)")
}

// restConfig returns the client configuration for connections to the API server.
func restConfig(kubeconfig string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		if kubeconfig != "" {
			return nil, wrongf("--kubeconfig %s: %w", kubeconfig, err)
		}
		return nil, wrongf("--kubeconfig is missing, and neither KUBECONFIG nor a service account names an API server: %w", err)
	}
	return config, nil
}

// runAgent runs the agent until the context is canceled.
func runAgent(ctx context.Context, config *rest.Config, flags *agentFlags, log logr.Logger) error {
	// The agent runs on every node of the cluster, so its memory use matters. Most of its
	// memory contains long-lived objects, and it produces little garbage. Frequent garbage
	// collections therefore save memory and use little CPU time.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	err := node.Run(ctx, config, node.Options{
		Node:           flags.node,
		Namespace:      flags.namespace,
		StateDir:       flags.stateDir,
		MetricsAddress: flags.MetricsAddress,
		MetricsPlain:   flags.MetricsPlain,
		HealthAddress:  flags.HealthAddress,
		Log:            log,
		Registry:       ctrlmetrics.Registry,
	})
	if err != nil {
		return fmt.Errorf("running agent: %w", err)
	}
	return nil
}
