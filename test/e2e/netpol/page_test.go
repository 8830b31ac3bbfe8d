package netpol_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluicenet/sluice/config/objects"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/labcluster"
)

// These are the ports that policies on the documentation page mention. SCTP port 1 is an
// exception: no policy mentions it.
var (
	tcp6379 = labcluster.Target{Protocol: flow.TCP, Port: 6379}
	tcp5978 = labcluster.Target{Protocol: flow.TCP, Port: 5978}
	udp53   = labcluster.Target{Protocol: flow.UDP, Port: 53}
	sctp1   = labcluster.Target{Protocol: flow.SCTP, Port: 1}
)

// TestPage applies all policies of the Kubernetes documentation page "Network Policies" without
// changes: the example policy, and each default policy in a separate namespace.
func TestPage(t *testing.T) {
	t.Parallel()
	s := &fixture{T: t, cluster: theCluster, targets: []labcluster.Target{tcp6379, tcp5978, udp53, sctp1}}
	s.addOutside("172.17.0.10", "172.17.0.10")
	s.addOutside("172.17.1.10", "172.17.1.10")
	s.addOutside("10.0.0.10", "10.0.0.10")
	ends := slices.Clone(s.outside)
	for _, object := range s.pageObjects() {
		s.create(object)
		if object.GetKind() == "Pod" {
			s.must(s.cluster.WaitRunning(t.Context(), object.GetNamespace()))
			end, err := s.cluster.End(object.GetNamespace(), object.GetName())
			s.must(err)
			end.Name = object.GetNamespace() + "/" + object.GetName()
			ends = append(ends, end)
		}
	}
	s.must(s.cluster.WaitEnforced(t.Context()))
	table, err := s.cluster.Table(t.Context(), ends, s.targets)
	s.must(err)
	for _, difference := range table.Differences() {
		t.Error(difference)
	}
	for _, difference := range s.compare(table, ends, `
		default/frontend -> default/db TCP 6379 allowed
		myproject/client -> default/db TCP 6379 allowed
		172.17.0.10 -> default/db TCP 6379 allowed
		172.17.1.10 -> default/db TCP 6379 denied
		default/dns -> default/db TCP 6379 denied
		default/frontend -> default/db TCP 5978 denied
		default/db -> 10.0.0.10 TCP 5978 allowed
		default/db -> 10.0.0.10 TCP 6379 denied
		default/db -> default/dns UDP 53 denied
		default/frontend -> no-ingress/web UDP 53 denied
		no-ingress/web -> default/frontend UDP 53 allowed
		no-egress/web -> default/frontend TCP 6379 denied
		default/frontend -> no-egress/web SCTP 1 allowed
		default/frontend -> sealed/web SCTP 1 denied
		sealed/web -> default/frontend TCP 5978 denied
		172.17.1.10 -> allow-all/web SCTP 1 allowed
		allow-all/web -> 10.0.0.10 UDP 53 allowed
	`) {
		t.Error(difference)
	}
	if t.Failed() {
		t.Logf("\n%s", table)
	}
}

// pageObjects reads the objects in the example of sluice-demo: the policies of the documentation
// page, and pods for these policies. It changes the ports of each pod with the method `serving`.
func (s *fixture) pageObjects() []*unstructured.Unstructured {
	s.Helper()
	files, err := filepath.Glob("../../../cmd/sluice-demo/example/*.yaml")
	s.must(err)
	var out []*unstructured.Unstructured
	for _, name := range files {
		text, err := os.ReadFile(name)
		s.must(err)
		decoded, err := objects.Decode(text)
		if err != nil {
			s.Fatalf("%s: %v", name, err)
		}
		for _, object := range decoded {
			if object.GetKind() == "Pod" {
				object = s.serving(object)
			}
			out = append(out, object)
		}
	}
	return out
}

// The method `serving` returns a copy of a Pod. In the copy, the ports of the first container are
// replaced with the targets of the fixture, so that the lab starts a server for each target.
func (s *fixture) serving(object *unstructured.Unstructured) *unstructured.Unstructured {
	s.Helper()
	var pod corev1.Pod
	s.must(runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &pod))
	ports := &pod.Spec.Containers[0].Ports
	*ports = nil
	for _, target := range s.targets {
		*ports = append(*ports, corev1.ContainerPort{Protocol: corev1.Protocol(target.Protocol.String()), ContainerPort: int32(target.Port)})
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&pod)
	s.must(err)
	return &unstructured.Unstructured{Object: content}
}

// create creates an object and deletes it after the test.
func (s *fixture) create(object *unstructured.Unstructured) {
	s.Helper()
	err := s.cluster.Client().Create(s.Context(), object)
	if apierrors.IsAlreadyExists(err) && object.GetKind() == "Namespace" {
		return
	}
	s.must(err)
	s.Cleanup(func() { _ = s.cluster.Client().Delete(cleanup(), object) })
}
