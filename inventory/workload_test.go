package inventory_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// TestAddTemplates checks that exactly the workloads without pods are added.
func TestAddTemplates(t *testing.T) {
	yes := true
	set := inventory.Set{Pods: []inventory.Pod{
		{Pod: policy.Pod{Namespace: "shop", Name: "a-1"}, Controller: "Deployment", Workload: "a"},
		{Pod: policy.Pod{Namespace: "shop", Name: "b-28900000-x", Finished: true}, Controller: "Job", Workload: "b-28900000"},
		{Pod: policy.Pod{Namespace: "shop", Name: "c-28900000-x"}, Controller: "Job", Workload: "c-28900000"},
		{Pod: policy.Pod{Namespace: "shop", Name: "by-hand", Labels: label.Of(map[string]string{"app": "d", "x": "y"})}, Workload: "by-hand"},
	}}
	add := func(kind, name string, owner ...metav1.OwnerReference) {
		w, errs := inventory.ReadWorkload(kind, &metav1.ObjectMeta{Namespace: "shop", Name: name, OwnerReferences: owner},
			&corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}})
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		set.Workloads = append(set.Workloads, w)
	}
	add("Deployment", "a")
	add("CronJob", "b")
	add("CronJob", "c")
	add("StatefulSet", "d")
	add("DaemonSet", "e")
	add("ReplicaSet", "f", metav1.OwnerReference{Kind: "Rollout", Name: "f", Controller: &yes})
	add("Job", "g")
	set.Workloads[len(set.Workloads)-1].Finished = true
	add("ReplicationController", "h", metav1.OwnerReference{Kind: "DeploymentConfig", Name: "h", Controller: &yes})
	add("ReplicationController", "i")
	add("Job", "j")
	set.AddTemplates()
	var got []string
	for _, p := range set.Pods[4:] {
		got = append(got, p.Pod.Namespace+"/"+p.Name)
	}
	if diff := cmp.Diff([]string{"shop/cronjob/b", "shop/daemonset/e", "shop/replicationcontroller/i", "shop/job/j"}, got); diff != "" {
		t.Errorf("templates (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"shop/cronjob/b": "CronJob b", "shop/job/j": "Job j"}, set.RunSometimes()); diff != "" {
		t.Errorf("pods that run sometimes (-want +got):\n%s", diff)
	}
}

// TestTemplatesHaveBothFamilies checks that a pod template gets an address of each family.
func TestTemplatesHaveBothFamilies(t *testing.T) {
	w, _ := inventory.ReadWorkload("ReplicationController", &metav1.ObjectMeta{Namespace: "shop", Name: "web"}, &corev1.PodTemplateSpec{})
	set := inventory.Set{Workloads: []inventory.Workload{w}}
	set.AddTemplates()
	if n := set.AssignAddresses(); n != 1 {
		t.Fatalf("%d pods got addresses, want 1", n)
	}
	a := set.Pods[0].Addresses
	if len(a) != 2 || !inventory.BenchmarkIPv4.Contains(a[0]) || !inventory.BenchmarkIPv6.Contains(a[1]) {
		t.Errorf("addresses %v, want one of each family", a)
	}
}
