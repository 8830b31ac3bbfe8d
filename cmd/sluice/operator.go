package main

import (
	"context"
	"fmt"
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/enforcer"
	"github.com/sluicenet/sluice/controllers/operator"
)

const (
	// imageVariable names the image of nodes where no flag does.
	imageVariable = "SLUICE_IMAGE"
	// podVariable names the operator's own pod, where it runs in one.
	podVariable = "POD_NAME"
)

// operatorFlags are the flags of the operator command.
type operatorFlags struct {
	kubeconfig     string
	namespace      string
	image          string
	leaderElect    bool
	metricsAddress string
	healthAddress  string
	verbose        bool
}

func operatorCommand() *cobra.Command {
	var flags operatorFlags
	cmd := &cobra.Command{
		Use:   "operator --image IMAGE",
		Short: "Run agent and dataplane on a cluster's nodes, as its Enforcer says",
		Long: `Turns the cluster's Enforcer into the DaemonSet of agents and dataplanes, with
what they may do, and writes by PolicyStatus and the Enforcer's status where
policies are enforced. What somebody else changes is repaired.

A deleted Enforcer goes once every node has proved that nothing of it is left.`,
		Example: `  sluice operator --image registry.example/sluice:v0.1.0
  sluice operator --kubeconfig ~/.kube/config --image sluice:dev`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pod := os.Getenv(podVariable)
			switch {
			case flags.image == "" && pod == "":
				return wrongf("--image is missing, and %s and %s are empty: give the image that nodes run", imageVariable, podVariable)
			case flags.namespace == "":
				return wrongf("--namespace is empty: give the namespace of the operator")
			}
			config, err := restConfig(flags.kubeconfig)
			if err != nil {
				return err
			}
			if flags.image == "" {
				if flags.image, err = enforcer.DefaultImage(cmd.Context(), config, flags.namespace, pod); err != nil {
					return fmt.Errorf("finding the image of nodes: %w", err)
				}
			}
			return runOperator(cmd.Context(), config, &flags, zap.New(zap.WriteTo(cmd.ErrOrStderr()), zap.UseDevMode(flags.verbose)))
		},
	}
	f := cmd.Flags()
	f.StringVar(&flags.kubeconfig, "kubeconfig", "", "`file` that names the API server; else as kubectl does, or as a pod")
	f.StringVar(&flags.namespace, "namespace", rbac.Namespace, "`namespace` of operator and nodes' pods")
	f.StringVar(&flags.image, "image", os.Getenv(imageVariable), "`image` of nodes; else "+imageVariable+", else that of the pod "+podVariable)
	f.BoolVar(&flags.leaderElect, "leader-elect", false, "work only while no other operator does")
	f.StringVar(&flags.metricsAddress, "metrics-address", ":8080", "`address` to serve metrics on; 0 serves none")
	f.StringVar(&flags.healthAddress, "health-address", ":8081", "`address` for /healthz and /readyz; 0 serves none")
	f.BoolVarP(&flags.verbose, "verbose", "v", false, "log for developers")
	return cmd
}

// runOperator works until the context ends.
func runOperator(ctx context.Context, config *rest.Config, flags *operatorFlags, log logr.Logger) error {
	ctrllog.SetLogger(log)
	err := operator.Run(ctx, config, operator.Options{
		Namespace:      flags.namespace,
		Image:          flags.image,
		LeaderElection: flags.leaderElect,
		MetricsAddress: flags.metricsAddress,
		HealthAddress:  flags.healthAddress,
		Log:            log,
	})
	if err != nil {
		return fmt.Errorf("running operator: %w", err)
	}
	return nil
}
