package main

import (
	"context"
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"

	"github.com/sluicenet/sluice/cmd/sluice/internal/daemon"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/enforcer/image"
	"github.com/sluicenet/sluice/controllers/operator"
)

const (
	// imageVariable is the environment variable that contains the image of the pods on the
	// nodes. The flag --image overrides this variable.
	imageVariable = "SLUICE_IMAGE"
	// podVariable is the environment variable that contains the name of the operator's pod.
	podVariable = "POD_NAME"
	// conditionVariable is the environment variable that contains the name of the
	// OperatorCondition. OLM sets it.
	conditionVariable = "OPERATOR_CONDITION_NAME"
)

// operatorFlags are the flags of the command sluice operator.
type operatorFlags struct {
	daemon.Flags

	kubeconfig  string
	namespace   string
	image       string
	leaderElect bool
	// observeAddress is the listen address for kubectl sluice flows.
	observeAddress string
	hook           hookFlags
}

func operatorCommand() *cobra.Command {
	var flags operatorFlags
	cmd := &cobra.Command{
		Use:   "operator --image IMAGE",
		Short: "Run the agent and the dataplane on the nodes of a cluster",
		Long: `Runs the agent and the dataplane on the nodes as the cluster's Enforcer specifies: it
creates their DaemonSet, service account and roles, and restores them if they are
changed. It writes PolicyStatuses and the status of the Enforcer, which report where
policies are enforced.

If the Enforcer is deleted, it uninstalls Sluice from every node and checks that
nothing is left before the Enforcer is removed.`,
		Example: `  sluice operator --image registry.example/sluice:v0.1.0
  sluice operator --kubeconfig ~/.kube/config --image sluice:dev`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.hook.given() {
				return runHook(cmd, &flags)
			}
			pod := os.Getenv(podVariable)
			switch {
			case flags.image == "" && pod == "":
				return wrongf("--image is missing, and %s and %s are empty: give the image for the nodes", imageVariable, podVariable)
			case flags.namespace == "":
				return wrongf("--namespace is empty: give the namespace of the operator")
			}
			config, err := restConfig(flags.kubeconfig)
			if err != nil {
				return err
			}
			if flags.image == "" {
				if flags.image, err = image.Default(cmd.Context(), config, flags.namespace, pod); err != nil {
					return fmt.Errorf("finding the image for the nodes: %w", err)
				}
			}
			return runOperator(cmd.Context(), config, &flags, flags.Logger(cmd))
		},
	}
	f := cmd.Flags()
	addKubeconfigFlag(cmd, &flags.kubeconfig)
	f.StringVarP(&flags.namespace, "namespace", "n", rbac.Namespace, "`namespace` of operator and node pods")
	f.StringVar(&flags.image, "image", os.Getenv(imageVariable), "`image` for the nodes (default $"+imageVariable+", or of pod $"+podVariable+")")
	f.BoolVar(&flags.leaderElect, "leader-elect", false, "wait while another operator is active")
	f.StringVar(&flags.observeAddress, "observe-address", ":9643", "`address` for kubectl sluice flows; 0 for none")
	flags.Add(cmd, ":9642", ":9641")
	flags.AddMetricsPlain(cmd)
	flags.hook.add(cmd)
	return cmd
}

// runOperator runs the operator until the context is canceled.
func runOperator(ctx context.Context, config *rest.Config, flags *operatorFlags, log logr.Logger) error {
	err := operator.Run(ctx, config, operator.Options{
		Namespace:      flags.namespace,
		Image:          flags.image,
		LeaderElection: flags.leaderElect,
		Pod:            os.Getenv(podVariable),
		Condition:      os.Getenv(conditionVariable),
		MetricsAddress: flags.MetricsAddress,
		MetricsPlain:   flags.MetricsPlain,
		ObserveAddress: flags.observeAddress,
		HealthAddress:  flags.HealthAddress,
		Log:            log,
	})
	if err != nil {
		return fmt.Errorf("running operator: %w", err)
	}
	return nil
}
