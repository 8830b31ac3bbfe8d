package kube_test

import (
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/test/kube"
)

var server *kube.Server

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }

// TestObjects makes what the reconcilers watch, as an administrator.
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
		t.Errorf("policyTypes %v: want the API server's default", policy.Spec.PolicyTypes)
	}
}

// TestUser: a user without roles may do nothing.
func TestUser(t *testing.T) {
	client := server.ClientFor(t, server.User(t, "nobody"))
	err := client.List(t.Context(), &corev1.PodList{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("listing pods without a role: %v, want Forbidden", err)
	}
}
