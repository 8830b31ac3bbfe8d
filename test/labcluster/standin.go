package labcluster

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/sluicenet/sluice/test/kube"
)

// standIn starts the controllers of the lab. They replace the scheduler, the kubelets and the
// namespace controller.
func (c *Cluster) standIn() error {
	mgr, err := manager.New(c.Config(), manager.Options{
		Scheme:  kube.Scheme(),
		Logger:  c.options.Log,
		Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		return fmt.Errorf("preparing the controllers: %w", err)
	}
	// Allow several controllers with the same name, because a process can contain several
	// clusters.
	again := true
	options := controller.Options{SkipNameValidation: &again, MaxConcurrentReconciles: 1}
	kubelet := &kubelet{cluster: c, client: mgr.GetClient()}
	if err := builder.ControllerManagedBy(mgr).For(&corev1.Pod{}).WithOptions(options).Complete(kubelet); err != nil {
		return fmt.Errorf("preparing the kubelet: %w", err)
	}
	end, err := newNamespaceEnd(c.client, c.Config())
	if err != nil {
		return fmt.Errorf("preparing the namespace controller: %w", err)
	}
	if err := builder.ControllerManagedBy(mgr).For(&corev1.Namespace{}).WithOptions(options).Complete(end); err != nil {
		return fmt.Errorf("preparing the namespace controller: %w", err)
	}
	c.running, c.cancel = context.WithCancel(context.Background())
	c.ended.Go(func() {
		if err := mgr.Start(c.running); err != nil {
			c.faultMu.Lock()
			defer c.faultMu.Unlock()
			c.fault = errors.Join(c.fault, fmt.Errorf("running the controllers: %w", err))
		}
	})
	return nil
}
