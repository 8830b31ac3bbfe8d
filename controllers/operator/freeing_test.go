package operator_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/test/eventually"
)

const uninstallDaemonSet = "sluice-uninstall"

// edge selects the nodes that belong to the Enforcer of these tests.
func edge() v1alpha1.EnforcerSpec {
	return v1alpha1.EnforcerSpec{NodeSelector: map[string]string{"pool": "edge"}}
}

// enforcing makes nodes that are selected, enforce, and have their pod.
func (s *site) enforcing(names ...string) map[string]*corev1.Pod {
	s.t.Helper()
	daemonSet := s.daemonSet("sluice", there)
	pods := map[string]*corev1.Pod{}
	for _, name := range names {
		s.node(name)
		s.pool(name, "edge")
		s.enforces(name)
		pods[name] = s.pod(daemonSet, name)
	}
	return pods
}

// pool relabels a node.
func (s *site) pool(node, pool string) {
	s.t.Helper()
	change(s, &corev1.Node{}, node, func(n *corev1.Node) { n.Labels["pool"] = pool })
}

// namedBy gives the nodes on which a DaemonSet runs.
func namedBy(d *appsv1.DaemonSet) []string {
	affinity := d.Spec.Template.Spec.Affinity
	if affinity == nil {
		return []string{"every node"}
	}
	var out []string
	for _, term := range affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, field := range term.MatchFields {
			out = append(out, field.Values...)
		}
	}
	return out
}

// uninstalls waits until nodes are uninstalled, and no others.
func (s *site) uninstalls(nodes ...string) *appsv1.DaemonSet {
	s.t.Helper()
	return s.daemonSet(uninstallDaemonSet, func(d *appsv1.DaemonSet) error {
		if got := namedBy(d); !slices.Equal(got, nodes) {
			return fmt.Errorf("it runs on %v, want %v", got, nodes)
		}
		return nil
	})
}

// untouched fails the test if a node is ever named by an uninstallation. It
// gives what ends that.
func (s *site) untouched(node string) (end func()) {
	s.t.Helper()
	w, err := s.Watch(s.t.Context(), &appsv1.DaemonSetList{}, client.InNamespace(rbac.Namespace))
	must(s.t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for event := range w.ResultChan() {
			d, ok := event.Object.(*appsv1.DaemonSet)
			if !ok || d.Name != uninstallDaemonSet {
				continue
			}
			if named := namedBy(d); slices.Contains(named, node) || d.Spec.Template.Spec.Affinity == nil {
				s.t.Errorf("the uninstallation ran on %v, %s among them", named, node)
			}
		}
	}()
	end = sync.OnceFunc(func() {
		w.Stop()
		<-done
	})
	s.t.Cleanup(end)
	return end
}

// none fails the test if there is an object.
func (s *site) none(object client.Object, name string) {
	s.t.Helper()
	key := client.ObjectKey{Namespace: object.GetNamespace(), Name: name}
	if err := s.Get(s.t.Context(), key, object); !apierrors.IsNotFound(err) {
		s.t.Errorf("%T %s is there (%v)", object, name, err)
	}
}

func daemonSets() *appsv1.DaemonSet {
	return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace}}
}

// said waits for an Event of the Enforcer.
func (s *site) said(reason, words string) {
	s.t.Helper()
	eventually.NoError(s.t, func() error {
		var events eventsv1.EventList
		if err := s.List(s.t.Context(), &events); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Reason == reason && strings.Contains(e.Note, words) {
				return nil
			}
		}
		return fmt.Errorf("none of %d events is %s %q", len(events.Items), reason, words)
	})
}

// TestFree: a node that is relabelled is freed, with an operator that ends after
// each step; the others never notice.
func TestFree(t *testing.T) {
	s := newSite(t)
	o := startOperator(t)
	again := func() {
		o.stop()
		o = startOperator(t)
	}
	s.enforcer(edge())
	pods := s.enforcing("free-a", "free-b")
	s.rolledOut(2)
	s.says(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "2 of 2 nodes enforce")
	untouched := s.untouched("free-b")

	s.pool("free-a", "other")
	// A pod that is ending still repairs what is removed.
	must(t, s.Delete(t.Context(), pods["free-a"]))
	s.rolledOut(1)
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonFreeingNodes, "on 1 nodes: free-a: sluice-free-a has to end first")
	s.says(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "1 of 1 nodes enforce")
	s.none(daemonSets(), uninstallDaemonSet)
	again()
	s.end(pods["free-a"])

	uninstall := s.uninstalls("free-a")
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonFreeingNodes, "on 1 nodes: free-a: no proof yet")
	again()
	proof := s.pod(uninstall, "free-a")
	s.report(proof, corev1.ConditionFalse, corev1.ContainerStatus{
		Name: "uninstall", Image: testImage, ImageID: testImage, State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "sluice: uninstalling: 3 connections were marked meanwhile"},
		},
	})
	s.says(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded, "free-a: uninstall ended with code 1: sluice: uninstalling: 3 connections")
	must(t, s.Get(t.Context(), client.ObjectKey{Name: "free-a"}, &v1alpha1.NodeEnforcer{}))
	again()
	s.report(proof, corev1.ConditionTrue)

	s.gone(&v1alpha1.NodeEnforcer{}, "free-a")
	s.said("NodesFreed", "free-a")
	s.gone(daemonSets(), uninstallDaemonSet)
	s.end(proof)
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes, "1 of 1 nodes run")
	s.says(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)
	must(t, s.Get(t.Context(), client.ObjectKey{Name: "free-b"}, &v1alpha1.NodeEnforcer{}))
	untouched()
}

// TestFreeComesBack: a node that is selected again is not uninstalled any more,
// and keeps its NodeEnforcer, whatever the pod on it has proved. The other node
// goes on with the pod that it has.
func TestFreeComesBack(t *testing.T) {
	s := newSite(t)
	o := startOperator(t)
	s.enforcer(edge())
	pods := s.enforcing("back-a", "back-b")
	for node, pod := range pods {
		s.pool(node, "other")
		s.end(pod)
	}
	uninstall := s.uninstalls("back-a", "back-b")
	if uninstall.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType {
		t.Errorf("%s: a change of its nodes would replace the pods on all others", uninstall.Spec.UpdateStrategy.Type)
	}
	proofs := map[string]*corev1.Pod{}
	for node := range pods {
		proofs[node] = s.pod(uninstall, node)
	}
	o.stop()
	s.pool("back-a", "edge")
	s.report(proofs["back-a"], corev1.ConditionTrue)
	startOperator(t)

	if next := s.uninstalls("back-b"); next.UID != uninstall.UID {
		t.Error("the uninstallation began anew on the node that stays away")
	}
	s.end(proofs["back-a"])
	s.pod(s.daemonSet("sluice", there), "back-a")
	s.report(proofs["back-b"], corev1.ConditionTrue)
	s.gone(&v1alpha1.NodeEnforcer{}, "back-b")
	s.gone(daemonSets(), uninstallDaemonSet)
	must(t, s.Get(t.Context(), client.ObjectKey{Name: "back-a"}, &v1alpha1.NodeEnforcer{}))
	s.says(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "1 of 1 nodes enforce")
}

// TestFreeWithAnotherImage: pods that cannot start are replaced by those of the
// Enforcer as it is now.
func TestFreeWithAnotherImage(t *testing.T) {
	s := newSite(t)
	startOperator(t)
	s.enforcer(edge())
	pods := s.enforcing("image-a")
	s.pool("image-a", "other")
	s.end(pods["image-a"])
	before := s.uninstalls("image-a")
	change(s, &v1alpha1.Enforcer{}, theName.Name, func(e *v1alpha1.Enforcer) { e.Spec.Image = "registry.example/mirror/sluice:v1" })
	s.daemonSet(uninstallDaemonSet, func(d *appsv1.DaemonSet) error {
		if image := d.Spec.Template.Spec.Containers[0].Image; d.UID == before.UID || image != "registry.example/mirror/sluice:v1" {
			return fmt.Errorf("image %s, the same DaemonSet: %v", image, d.UID == before.UID)
		}
		return nil
	})
}

// TestUninstallWhileFreeing: an Enforcer that is deleted meanwhile takes back
// everything from every node.
func TestUninstallWhileFreeing(t *testing.T) {
	s := newSite(t)
	startOperator(t)
	s.enforcer(edge())
	pods := s.enforcing("meanwhile-a", "meanwhile-b")
	s.pool("meanwhile-a", "other")
	s.end(pods["meanwhile-a"])
	uninstall := s.uninstalls("meanwhile-a")
	proof := s.pod(uninstall, "meanwhile-a")

	must(t, s.Delete(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: theName.Name}}))
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "pods that enforce to end, on 1 nodes: meanwhile-b")
	s.end(pods["meanwhile-b"])
	uninstall = s.uninstalls("every node")
	if uninstall.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType {
		t.Errorf("%s: pods of another image would stay", uninstall.Spec.UpdateStrategy.Type)
	}
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "prove", "on 2 nodes")
	other := s.pod(uninstall, "meanwhile-b")
	s.report(proof, corev1.ConditionTrue)
	s.report(other, corev1.ConditionTrue)
	s.gone(daemonSets(), uninstallDaemonSet)
	s.end(proof)
	s.end(other)
	s.nothingLeft()
}

// TestTaintKeepsRules: a taint that evicts the pod frees nothing.
func TestTaintKeepsRules(t *testing.T) {
	s := newSite(t)
	startOperator(t)
	spec := edge()
	spec.Tolerations = []v1alpha1.Toleration{{Key: "team", Operator: v1alpha1.TolerationExists}}
	s.enforcer(spec)
	pods := s.enforcing("taint-a", "taint-b")
	untouched := s.untouched("taint-a")
	s.taint("taint-a", corev1.Taint{Key: "maintenance", Value: "disk", Effect: corev1.TaintEffectNoExecute})
	// A cordon is none of ours.
	s.taint("taint-b", corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	s.end(pods["taint-a"])
	s.end(pods["taint-b"])
	s.rolledOut(1)
	s.says(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded,
		"taint-a: taint maintenance=disk:NoExecute keeps its pod away, and its rules stay as they were")
	s.says(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes, "1 of 1 nodes")
	s.none(daemonSets(), uninstallDaemonSet)

	s.taint("taint-a")
	s.says(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)
	must(t, s.Get(t.Context(), client.ObjectKey{Name: "taint-a"}, &v1alpha1.NodeEnforcer{}))
	untouched()
}

func (s *site) taint(node string, taints ...corev1.Taint) {
	s.t.Helper()
	change(s, &corev1.Node{}, node, func(n *corev1.Node) { n.Spec.Taints = taints })
}
