package kube_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	crclient "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/kube"
	"github.com/sluicenet/sluice/test/process"
)

var server *kube.Server

func TestMain(m *testing.M) {
	if process.Role() != "" {
		hold()
		return
	}
	os.Exit(kube.Main(m, &server))
}

// TestObjects uses a client with all rights to create objects of the kinds that the reconcilers
// watch.
func TestObjects(t *testing.T) {
	client := server.Client(t)
	namespace := server.Namespace(t)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
	}
	if err := client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase = corev1.PodRunning
	pod.Status.PodIPs = []corev1.PodIP{{IP: "10.0.0.1"}}
	if err := client.Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	policy := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "none"}}
	if err := client.Create(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	if len(policy.Spec.PolicyTypes) != 1 {
		t.Errorf("policyTypes %v: want the default of the API server", policy.Spec.PolicyTypes)
	}
}

// TestStoredPods writes pods directly into etcd with StorePods. It checks that clients can read
// and change these pods.
func TestStoredPods(t *testing.T) {
	client := server.Client(t)
	namespace := server.Namespace(t)
	const pods = 100
	err := server.StorePods(t.Context(), func(yield func(*corev1.Pod) bool) {
		for i := range pods {
			more := yield(&corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("web-%d", i), UID: types.UID(fmt.Sprintf("uid-%d", i))},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
				Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}},
			})
			if !more {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var list corev1.PodList
	if err := client.List(t.Context(), &list, crclient.InNamespace(namespace)); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) != pods {
		t.Fatalf("%d pods, want %d", len(list.Items), pods)
	}
	pod := &list.Items[0]
	if pod.Status.Phase != corev1.PodRunning || pod.Status.PodIP != "10.0.0.1" {
		t.Errorf("status %+v: want that of a running pod", pod.Status)
	}
	pod.Labels = map[string]string{"changed": "yes"}
	if err := client.Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
}

// TestUser checks that a user has no rights if no role is bound to the user.
func TestUser(t *testing.T) {
	client := server.ClientFor(t, server.User(t, "user-without-roles"))
	err := client.List(t.Context(), &corev1.PodList{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("listing pods without a role: %v, want Forbidden", err)
	}
}

// TestLink checks that Cut closes open connections and prevents new connections. It also checks
// that clients can connect again after Restore.
func TestLink(t *testing.T) {
	link, config := server.Link(t, server.Config())
	config.Timeout = 10 * time.Second
	client := server.ClientFor(t, config)
	namespace := server.Namespace(t)
	watch, err := client.Watch(t.Context(), &corev1.PodList{}, crclient.InNamespace(namespace))
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Stop()
	if err := link.Cut(); err != nil {
		t.Fatal(err)
	}
	for event := range watch.ResultChan() {
		t.Logf("event %s", event.Type)
	}
	if err := client.List(t.Context(), &corev1.PodList{}); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("listing over a cut link: %v, want connection refused", err)
	}
	if err := server.Client(t).List(t.Context(), &corev1.PodList{}); err != nil {
		t.Errorf("listing without the link: %v", err)
	}
	if err := link.Restore(); err != nil {
		t.Fatal(err)
	}
	if err := client.List(t.Context(), &corev1.PodList{}); err != nil {
		t.Errorf("listing over the restored link: %v", err)
	}
}

// TestGet checks that the method Get returns the same output as `kubectl get`.
func TestGet(t *testing.T) {
	namespace := server.Namespace(t)
	status := &v1alpha1.PolicyStatus{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "a"}}
	if err := server.Client(t).Create(t.Context(), status); err != nil {
		t.Fatal(err)
	}
	got := server.Get(t, v1alpha1.GroupVersion.WithResource("policystatuses"), namespace, false)
	if !strings.HasPrefix(got, "NAME   ENFORCED   PODS") || !strings.Contains(got, "\na   ") {
		t.Errorf("printed:\n%s", got)
	}
	got = server.Get(t, v1alpha1.GroupVersion.WithResource("policystatuses"), namespace, false, "b")
	if strings.Contains(got, "\na   ") {
		t.Errorf("printed an object with another name:\n%s", got)
	}
}
