package conformance

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/labcluster"
)

// StartStatefulSets starts a controller that replaces the StatefulSet controller of Kubernetes.
// The controller runs until the context ends.
func StartStatefulSets(ctx context.Context, cluster *labcluster.Cluster) error {
	mgr, err := manager.New(cluster.Config(), manager.Options{
		Scheme: kube.Scheme(), Logger: logr.Discard(), Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		return fmt.Errorf("preparing the StatefulSet controller: %w", err)
	}
	again := true // Allow several controllers with the same name, because tests can be repeated.
	err = builder.ControllerManagedBy(mgr).For(&appsv1.StatefulSet{}).Owns(&corev1.Pod{}).
		WithOptions(controller.Options{SkipNameValidation: &again}).
		Complete(&statefulSets{client: mgr.GetClient(), nodes: cluster.Nodes()})
	if err != nil {
		return fmt.Errorf("preparing the StatefulSet controller: %w", err)
	}
	go func() { _ = mgr.Start(ctx) }() // If the controller fails, the pods do not become ready.
	return nil
}

// statefulSets creates the pods of each StatefulSet and sets the status. It neither updates nor
// deletes pods. It assigns the pods of a set to the nodes in turn, because pods with host ports
// must run on different nodes.
type statefulSets struct {
	client client.Client
	nodes  []*labcluster.Node
}

// Reconcile creates the missing pods of a StatefulSet, and sets the numbers of pods and of ready
// pods in its status.
func (s *statefulSets) Reconcile(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	var set appsv1.StatefulSet
	if err := s.client.Get(ctx, r.NamespacedName, &set); err != nil || set.DeletionTimestamp != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	set.Status = appsv1.StatefulSetStatus{ObservedGeneration: set.Generation, Replicas: *set.Spec.Replicas}
	for ordinal := range int(*set.Spec.Replicas) {
		pod, err := s.pod(&set, ordinal)
		if err != nil {
			return reconcile.Result{}, err
		}
		if err := client.IgnoreAlreadyExists(s.client.Create(ctx, pod)); err != nil {
			return reconcile.Result{}, fmt.Errorf("creating pod %s: %w", pod.Name, err)
		}
		// The cache may not contain a new pod yet.
		if err := client.IgnoreNotFound(s.client.Get(ctx, client.ObjectKeyFromObject(pod), pod)); err != nil {
			return reconcile.Result{}, fmt.Errorf("getting pod %s: %w", pod.Name, err)
		}
		if isReady(pod) {
			set.Status.ReadyReplicas++
		}
	}
	return reconcile.Result{}, client.IgnoreNotFound(s.client.Status().Update(ctx, &set))
}

// pod returns the pod with the given ordinal number, as the StatefulSet controller would create it.
func (s *statefulSets) pod(set *appsv1.StatefulSet, ordinal int) (*corev1.Pod, error) {
	template := set.Spec.Template.DeepCopy()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: set.Namespace, Name: fmt.Sprintf("%s-%d", set.Name, ordinal),
			Labels: template.Labels, Annotations: template.Annotations,
		},
		Spec: template.Spec,
	}
	metav1.SetMetaDataLabel(&pod.ObjectMeta, appsv1.StatefulSetPodNameLabel, pod.Name)
	pod.Spec.NodeName = s.nodes[ordinal%len(s.nodes)].Name()
	return pod, controllerutil.SetControllerReference(set, pod, s.client.Scheme())
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
