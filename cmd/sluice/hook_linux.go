package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/controllers/helmhook"
	"github.com/sluicenet/sluice/internal/buildinfo"
)

// hookFlags are the flags of `sluice operator` that the hooks of the Helm chart use. With one of
// these flags, the command does the work of a hook, and exits without running the operator.
type hookFlags struct {
	updateCRDs bool
	uninstall  bool
	timeout    time.Duration
}

func (h *hookFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&h.updateCRDs, "update-crds", false, "update Sluice's CustomResourceDefinitions, and exit")
	f.BoolVar(&h.uninstall, "uninstall", false, "delete the Enforcer, wait until the operator in the cluster has\nremoved the rules from all nodes, and exit")
	f.DurationVar(&h.timeout, "uninstall-timeout", 10*time.Minute, "maximum `time` to wait with --uninstall")
}

func (h *hookFlags) given() bool { return h.updateCRDs || h.uninstall }

// runHook does the work of a hook.
func runHook(cmd *cobra.Command, flags *operatorFlags) error {
	if flags.hook.updateCRDs && flags.hook.uninstall {
		return wrongf("--update-crds and --uninstall: give one of them")
	}
	config, err := restConfig(flags.kubeconfig)
	if err != nil {
		return err
	}
	c, err := helmhook.NewClient(config)
	if err != nil {
		return err
	}
	log := flags.Logger(cmd)
	if flags.hook.updateCRDs {
		return helmhook.UpdateDefinitions(cmd.Context(), c, buildinfo.Version(), log)
	}
	u := helmhook.Uninstaller{Client: c, Namespace: flags.namespace, Timeout: flags.hook.timeout, Log: log}
	if err := u.Run(cmd.Context()); err != nil {
		return fmt.Errorf("uninstalling: %w", err)
	}
	return nil
}
