package live

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy/service"
)

// readBackends reads the Services, the EndpointSlices and the workloads. These objects affect no
// verdict, so a missing right is not an error.
func (c *Connection) readBackends(ctx context.Context, b *builder) error {
	var (
		services     corev1.ServiceList
		endpoints    discoveryv1.EndpointSliceList
		deployments  appsv1.DeploymentList
		statefulSets appsv1.StatefulSetList
		daemonSets   appsv1.DaemonSetList
		replicaSets  appsv1.ReplicaSetList
		controllers  corev1.ReplicationControllerList
		jobs         batchv1.JobList
		cronJobs     batchv1.CronJobList
	)
	for _, kind := range []struct {
		resource string
		into     client.ObjectList
		add      func()
	}{
		{"services", &services, func() { b.addServices(services.Items) }},
		{"endpointslices.discovery.k8s.io", &endpoints, func() { b.addSlices(endpoints.Items) }},
		{"deployments.apps", &deployments, func() {
			each(deployments.Items, func(o *appsv1.Deployment) { b.addWorkload("Deployment", o, &o.Spec.Template, false) })
		}},
		{"statefulsets.apps", &statefulSets, func() {
			each(statefulSets.Items, func(o *appsv1.StatefulSet) { b.addWorkload("StatefulSet", o, &o.Spec.Template, false) })
		}},
		{"daemonsets.apps", &daemonSets, func() {
			each(daemonSets.Items, func(o *appsv1.DaemonSet) { b.addWorkload("DaemonSet", o, &o.Spec.Template, false) })
		}},
		{"replicasets.apps", &replicaSets, func() {
			each(replicaSets.Items, func(o *appsv1.ReplicaSet) { b.addWorkload("ReplicaSet", o, &o.Spec.Template, false) })
		}},
		{"replicationcontrollers", &controllers, func() {
			each(controllers.Items, func(o *corev1.ReplicationController) {
				if o.Spec.Template != nil {
					b.addWorkload("ReplicationController", o, o.Spec.Template, false)
				}
			})
		}},
		{"jobs.batch", &jobs, func() {
			each(jobs.Items, func(o *batchv1.Job) { b.addWorkload("Job", o, &o.Spec.Template, finished(o)) })
		}},
		{"cronjobs.batch", &cronJobs, func() {
			each(cronJobs.Items, func(o *batchv1.CronJob) {
				b.addWorkload("CronJob", o, &o.Spec.JobTemplate.Spec.Template, false)
			})
		}},
	} {
		switch err := c.list(ctx, kind.into, kind.add); {
		case apierrors.IsForbidden(err):
			b.set.NotListed = append(b.set.NotListed, kind.resource)
		case err != nil && !apierrors.IsNotFound(err):
			return fmt.Errorf("listing %s: %w", kind.resource, err)
		}
	}
	return nil
}

func each[T any](list []T, f func(*T)) {
	for i := range list {
		f(&list[i])
	}
}

// The function `finished` reports whether a Job has finished.
func finished(j *batchv1.Job) bool {
	return slices.ContainsFunc(j.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}

func (b *builder) addServices(list []corev1.Service) {
	for i := range list {
		s, errs := service.Read(&list[i])
		b.invalid("Service", &list[i], errs)
		b.set.Services = append(b.set.Services, s)
	}
}

func (b *builder) addSlices(list []discoveryv1.EndpointSlice) {
	for i := range list {
		s, errs := service.ReadSlice(&list[i])
		b.invalid("EndpointSlice", &list[i], errs)
		b.set.Slices = append(b.set.Slices, s)
	}
}

func (b *builder) addWorkload(kind string, in metav1.Object, template *corev1.PodTemplateSpec, done bool) {
	w, errs := inventory.ReadWorkload(kind, in, template)
	b.invalid(kind, in, errs)
	w.Origin, w.Finished = b.origin, done
	b.set.Workloads = append(b.set.Workloads, w)
}
