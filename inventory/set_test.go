package inventory_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
)

func TestAssignAddressesToPodsWithoutStatus(t *testing.T) {
	withStatus := inventory.Pod{Pod: policy.Pod{Name: "web", Addresses: []netip.Addr{
		netip.MustParseAddr("198.18.0.2"), netip.MustParseAddr("fd00::1"),
	}}}
	set := inventory.Set{Pods: []inventory.Pod{
		withStatus,
		{Pod: policy.Pod{Name: "a"}, NoStatus: true},
		{Pod: policy.Pod{Name: "b", HostNetwork: true}, NoStatus: true},
		{Pod: policy.Pod{Name: "c"}, NoStatus: true},
	}}
	if n := set.AssignAddresses(); n != 2 {
		t.Errorf("%d pods got addresses, want 2", n)
	}
	var got []string
	for _, p := range set.Pods {
		got = append(got, fmt.Sprint(p.Addresses))
	}
	want := []string{"[198.18.0.2 fd00::1]", "[198.18.0.1 2001:2::1]", "[]", "[198.18.0.3 2001:2::2]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
}

func TestNamespacesWithoutObject(t *testing.T) {
	set := inventory.Set{
		Pods: []inventory.Pod{
			{Pod: policy.Pod{Namespace: "shop", Name: "a"}},
			{Pod: policy.Pod{Namespace: "default", Name: "a"}},
			{Pod: policy.Pod{Namespace: "shop", Name: "b"}},
			{Pod: policy.Pod{Namespace: "other", Name: "a"}},
		},
		Namespaces: []inventory.Namespace{{Namespace: policy.Namespace{Name: "other"}}},
	}
	if diff := cmp.Diff([]string{"default", "shop"}, set.NamespacesWithoutObject()); diff != "" {
		t.Errorf("namespaces (-want +got):\n%s", diff)
	}
}

func TestWorkloadOf(t *testing.T) {
	yes := true
	owned := func(kind, name string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{Kind: "Other", Name: "not-the-controller"}, {Kind: kind, Name: name, Controller: &yes}}
	}
	hash := map[string]string{appsv1.DefaultDeploymentUniqueLabelKey: "5d4f8"}
	for want, meta := range map[string]metav1.ObjectMeta{
		" alone":                {Name: "alone"},
		"StatefulSet db":        {Name: "db-0", OwnerReferences: owned("StatefulSet", "db")},
		"Deployment web":        {Name: "web-5d4f8-abcde", Labels: hash, OwnerReferences: owned("ReplicaSet", "web-5d4f8")},
		"ReplicaSet replicaset": {Name: "replicaset-x", OwnerReferences: owned("ReplicaSet", "replicaset")},
	} {
		if kind, name := inventory.WorkloadOf(&corev1.Pod{ObjectMeta: meta}); kind+" "+name != want {
			t.Errorf("workload of pod %s: %s %s, want %s", meta.Name, kind, name, want)
		}
	}
}

func TestErrorNamesPlaceObjectAndField(t *testing.T) {
	err := &inventory.Error{Origin: inventory.Origin{File: "a.yaml", Line: 3}, Object: "Pod shop/web", Field: "spec.x", Message: "unknown field"}
	if want := "a.yaml:3: Pod shop/web: spec.x: unknown field"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
	err = &inventory.Error{Origin: inventory.Origin{File: "a.yaml"}, Message: "is empty"}
	if want := "a.yaml: is empty"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestErrorsListTwenty(t *testing.T) {
	var all inventory.Errors
	for range 50 {
		all = append(all, &inventory.Error{Message: "wrong"})
	}
	text := all.Error()
	if strings.Count(text, "\n") != 20 || !strings.HasSuffix(text, "\nand 30 more") {
		t.Errorf("error %q, want 20 lines and the number of the others", text)
	}
}
