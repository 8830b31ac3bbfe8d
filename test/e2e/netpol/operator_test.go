package netpol_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/labcluster"
	"github.com/sluicenet/sluice/test/process"
)

// applyTime is the maximum time until a new operator has changed the DaemonSet.
const applyTime = time.Minute

// operator is the operator of a cluster.
type operator struct {
	process *process.Process
}

// install creates the Enforcer and starts the operator of the cluster's program. It returns the pod
// template in the DaemonSet that the operator creates.
func (o *operator) install(ctx context.Context, c *labcluster.Cluster, program string) (corev1.PodTemplateSpec, error) {
	enforcer := &v1alpha1.Enforcer{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.EnforcerName},
		Spec:       v1alpha1.EnforcerSpec{DenyAction: v1alpha1.DenyReject},
	}
	if err := c.Client().Create(ctx, enforcer); err != nil {
		return corev1.PodTemplateSpec{}, err
	}
	return o.start(ctx, c, program)
}

// start starts the operator of a program. It returns the pod template in the DaemonSet of this
// operator.
func (o *operator) start(ctx context.Context, c *labcluster.Cluster, program string) (corev1.PodTemplateSpec, error) {
	// Each operator has its own image, so that the DaemonSet shows which operator has changed it.
	image := "lab/" + filepath.Base(program)
	command := exec.Command(program, "operator", "--kubeconfig", c.Kubeconfig(), "--image", image,
		"--metrics-address=0", "--observe-address=0", "--health-address=0")
	var err error
	if o.process, err = process.Start("operator", command, nil); err != nil {
		return corev1.PodTemplateSpec{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, applyTime)
	defer cancel()
	var daemonSet appsv1.DaemonSet
	err = eventually.Poll(ctx, func(ctx context.Context) error {
		if err := c.Client().Get(ctx, client.ObjectKey{Namespace: rbac.Namespace, Name: desired.DaemonSetName}, &daemonSet); err != nil {
			return err
		}
		if got := daemonSet.Spec.Template.Spec.Containers[0].Image; got != image {
			return fmt.Errorf("the image in the DaemonSet is %s, want %s", got, image)
		}
		return nil
	})
	if err != nil {
		return corev1.PodTemplateSpec{}, fmt.Errorf("%w\n%s", err, o.process.Log())
	}
	return daemonSet.Spec.Template, nil
}

// replace replaces the operator with that of another program. The nodes then start containers of this
// program, with the pod template of its operator.
func (o *operator) replace(s *fixture, program string) {
	s.Helper()
	o.stop(s.T)
	template, err := o.start(s.Context(), s.cluster, program)
	s.must(err)
	s.cluster.SetProgram(program)
	s.cluster.SetPod(template)
}

// stop stops the operator if it is running.
func (o *operator) stop(t *testing.T) {
	t.Helper()
	if o.process == nil {
		return
	}
	if err := o.process.Stop(); err != nil {
		t.Error(err)
	}
	o.process = nil
}

// wantEnforced waits until the status of a policy states that all nodes enforce it.
func (s *fixture) wantEnforced(path string) {
	s.Helper()
	eventually.NoError(s.T, func() error {
		status := &v1alpha1.PolicyStatus{}
		if err := s.cluster.Client().Get(s.Context(), s.key(path), status); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(status.Status.Conditions, string(v1alpha1.ConditionEnforced)) {
			return fmt.Errorf("%s: %+v", path, status.Status)
		}
		return nil
	})
}
