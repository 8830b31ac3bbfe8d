package reduce_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/controllers/reduce"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// fullPod returns a Pod that contains all parts that policies can refer to, and other parts.
func fullPod() *corev1.Pod {
	always := corev1.ContainerRestartPolicyAlways
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web-0", UID: "6f1c", ResourceVersion: "42", CreationTimestamp: metav1.Unix(1_700_000_000, 0),
			Labels:        map[string]string{"app": "web", "tier": "front"},
			Annotations:   map[string]string{"note": "long"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet", FieldsV1: &metav1.FieldsV1{}}},
		},
		Spec: corev1.PodSpec{
			NodeName: "worker-1",
			InitContainers: []corev1.Container{
				{Name: "setup", Ports: []corev1.ContainerPort{{Name: "ignored", ContainerPort: 1}}},
				{Name: "proxy", RestartPolicy: &always, Ports: []corev1.ContainerPort{{Name: "proxy", ContainerPort: 15001}}},
			},
			Containers: []corev1.Container{
				{Name: "plain", Image: "plain", Ports: []corev1.ContainerPort{{ContainerPort: 81}}},
				{
					Name: "web", Image: "web", Env: []corev1.EnvVar{{Name: "A", Value: "b"}},
					Ports:     []corev1.ContainerPort{{ContainerPort: 80}, {Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}},
					Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}},
				},
			},
			Volumes: []corev1.Volume{{Name: "data"}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.1", HostIP: "192.0.2.1",
			PodIPs:     []corev1.PodIP{{IP: "10.0.0.1"}, {IP: "fd00::1"}},
			HostIPs:    []corev1.HostIP{{IP: "192.0.2.1"}},
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
}

// TestReducedNamespaceIsTerminating checks that policies treat a reduced Namespace in the same
// way as the complete Namespace.
func TestReducedNamespaceIsTerminating(t *testing.T) {
	in := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "shop", Labels: map[string]string{"team": "red"}, DeletionTimestamp: &metav1.Time{Time: time.Unix(1_700_000_000, 0)},
	}}
	want, got := policy.ReadNamespace(in), policy.ReadNamespace(reduce.Namespace(in))
	if got != want || !got.Terminating {
		t.Errorf("meaning of the reduced namespace: %+v, want %+v", got, want)
	}
}

// TestReducedNodeHasItsPodRanges checks that policies treat a reduced Node in the same way as
// the complete Node.
func TestReducedNodeHasItsPodRanges(t *testing.T) {
	in := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "worker-1", Labels: map[string]string{"zone": "a"}}, Spec: corev1.NodeSpec{PodCIDRs: []string{"10.0.0.0/24", "fd00::/64"}},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}}},
	}
	want, _ := policy.ReadNode(in)
	got, _ := policy.ReadNode(reduce.Node(in))
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}, label.Set{})); diff != "" || len(got.PodRanges) != 2 {
		t.Errorf("meaning of the reduced node (-full +reduced):\n%s", diff)
	}
}

// TestCompactPodMeansTheSame checks that policies treat a CompactPod in the same way as the
// complete Pod, and that a cache can identify it.
func TestCompactPodMeansTheSame(t *testing.T) {
	in := fullPod()
	kept := reduce.Pod(in)
	want, errors := policy.ReadPod(in)
	if err := errors.Err(); err != nil {
		t.Fatal(err)
	}
	want.HostAddresses = nil
	addresses := cmp.Comparer(func(a, b interface{ String() string }) bool { return a.String() == b.String() })
	if diff := cmp.Diff(want, kept.Pod, addresses); diff != "" {
		t.Errorf("meaning of the compact pod (-full +compact):\n%s", diff)
	}
	var object client.Object = kept
	if object.GetName() != in.Name || object.GetNamespace() != in.Namespace || object.GetUID() != in.UID || object.GetResourceVersion() != in.ResourceVersion {
		t.Errorf("metadata %+v, want the identity of %+v", kept.ObjectMeta, in.ObjectMeta)
	}
	if object.GetAnnotations() != nil || object.GetManagedFields() != nil || object.GetLabels() != nil {
		t.Errorf("the compact pod has metadata to which no policy can refer: %+v", kept.ObjectMeta)
	}
}
