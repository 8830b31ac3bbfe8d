package enforcer_test

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

// edge returns a spec that selects the nodes with the label pool=edge, and that frees nodes
// without a wait.
func edge() v1alpha1.EnforcerSpec {
	return v1alpha1.EnforcerSpec{NodeSelector: map[string]string{"pool": "edge"}, FreeAfter: &metav1.Duration{}}
}

// enforcingNodes creates nodes with the label pool=edge. Each node has an enforcing pod and
// enforces policies.
func (f *fixture) enforcingNodes(names ...string) map[string]*corev1.Pod {
	f.t.Helper()
	daemonSet := f.waitForDaemonSet("sluice", exists)
	pods := map[string]*corev1.Pod{}
	for _, name := range names {
		f.createNode(name)
		f.setPool(name, "edge")
		f.reportEnforcing(name)
		pods[name] = f.createPod(daemonSet, name)
	}
	return pods
}

// setPool changes the pool label of a node.
func (f *fixture) setPool(node, pool string) {
	f.t.Helper()
	change(f, &corev1.Node{}, node, func(n *corev1.Node) { n.Labels["pool"] = pool })
}

// nodesOf returns the names of the nodes on which a DaemonSet runs.
func nodesOf(d *appsv1.DaemonSet) []string {
	affinity := d.Spec.Template.Spec.Affinity
	if terms := affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms; len(terms[0].MatchFields) == 0 {
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

// wantUninstallOn waits until the uninstall DaemonSet runs on the given nodes and no
// others.
func (f *fixture) wantUninstallOn(nodes ...string) *appsv1.DaemonSet {
	f.t.Helper()
	return f.waitForDaemonSet(uninstallDaemonSet, func(d *appsv1.DaemonSet) error {
		if got := nodesOf(d); !slices.Equal(got, nodes) {
			return fmt.Errorf("it runs on %v, want %v", got, nodes)
		}
		return nil
	})
}

// neverUninstalled starts a check that fails the test if the uninstall DaemonSet ever runs
// on a node. It returns a function that stops the check.
func (f *fixture) neverUninstalled(node string) (end func()) {
	f.t.Helper()
	w, err := f.Watch(f.t.Context(), &appsv1.DaemonSetList{}, client.InNamespace(rbac.Namespace))
	must(f.t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for event := range w.ResultChan() {
			d, ok := event.Object.(*appsv1.DaemonSet)
			if !ok || d.Name != uninstallDaemonSet {
				continue
			}
			if named := nodesOf(d); slices.Contains(named, node) || d.Spec.Template.Spec.Affinity == nil {
				f.t.Errorf("the uninstallation ran on %v, which includes %s", named, node)
			}
		}
	}()
	end = sync.OnceFunc(func() {
		w.Stop()
		<-done
	})
	f.t.Cleanup(end)
	return end
}

// wantNone fails the test immediately if an object exists.
func (f *fixture) wantNone(object client.Object, name string) {
	f.t.Helper()
	key := client.ObjectKey{Namespace: object.GetNamespace(), Name: name}
	if err := f.Get(f.t.Context(), key, object); !apierrors.IsNotFound(err) {
		f.t.Errorf("%T %s exists (%v)", object, name, err)
	}
}

func daemonSets() *appsv1.DaemonSet {
	return &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: rbac.Namespace}}
}

// wantEvent waits for an Event with the given reason and with the given text in its note.
func (f *fixture) wantEvent(reason, words string) {
	f.t.Helper()
	eventually.NoError(f.t, func() error {
		var events eventsv1.EventList
		if err := f.List(f.t.Context(), &events); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.Reason == reason && strings.Contains(e.Note, words) {
				return nil
			}
		}
		return fmt.Errorf("none of %d Events has reason %s and %q in its note", len(events.Items), reason, words)
	})
}

// TestRelabeledNodeIsFreed checks that the rules are removed from a node that is no longer
// selected, and that other nodes are not affected. The operator restarts after each step.
func TestRelabeledNodeIsFreed(t *testing.T) {
	f := newFixture(t)
	o := startOperator(t)
	again := func() {
		o.stop()
		o = startOperator(t)
	}
	f.createEnforcer(edge())
	pods := f.enforcingNodes("free-a", "free-b")
	f.setRolledOut(2)
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "2 of 2 nodes enforce")
	untouched := f.neverUninstalled("free-b")

	f.setPool("free-a", "other")
	// The dataplane of a terminating pod still repairs the rules, so the uninstallation must
	// wait.
	must(t, f.Delete(t.Context(), pods["free-a"]))
	f.setRolledOut(1)
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonFreeingNodes, "on 1 nodes: free-a: sluice-free-a must end first")
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "1 of 1 nodes enforce")
	f.wantNone(daemonSets(), uninstallDaemonSet)
	again()
	f.deletePod(pods["free-a"])

	uninstall := f.wantUninstallOn("free-a")
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonFreeingNodes, "on 1 nodes: free-a: no proof yet")
	again()
	proof := f.createPod(uninstall, "free-a")
	f.setPodStatus(proof, corev1.ConditionFalse, corev1.ContainerStatus{
		Name: "uninstall", Image: testImage, ImageID: testImage, State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "sluice: uninstalling: 3 connections were marked meanwhile"},
		},
	})
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded, "free-a: uninstall ended with code 1: sluice: uninstalling: 3 connections")
	must(t, f.Get(t.Context(), client.ObjectKey{Name: "free-a"}, &v1alpha1.NodeEnforcer{}))
	again()
	f.setPodStatus(proof, corev1.ConditionTrue)

	f.wantGone(&v1alpha1.NodeEnforcer{}, "free-a")
	f.wantEvent("NodesFreed", "free-a")
	f.wantGone(daemonSets(), uninstallDaemonSet)
	f.deletePod(proof)
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes, "1 of 1 nodes run")
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)
	must(t, f.Get(t.Context(), client.ObjectKey{Name: "free-b"}, &v1alpha1.NodeEnforcer{}))
	untouched()
}

// TestNodeIsSelectedAgain checks that the uninstallation of a node stops when the node is
// selected again, and that the node keeps its NodeEnforcer even if its uninstall pod is ready.
// The uninstall pods of other nodes must stay.
func TestNodeIsSelectedAgain(t *testing.T) {
	f := newFixture(t)
	o := startOperator(t)
	f.createEnforcer(edge())
	pods := f.enforcingNodes("back-a", "back-b")
	// With 20 nodes, two nodes are freed at the same time.
	for i := range 18 {
		f.createNode(fmt.Sprintf("back-other-%d", i))
		f.setPool(fmt.Sprintf("back-other-%d", i), "edge")
		f.reportEnforcing(fmt.Sprintf("back-other-%d", i))
	}
	for node, pod := range pods {
		f.setPool(node, "other")
		f.deletePod(pod)
	}
	uninstall := f.wantUninstallOn("back-a", "back-b")
	if uninstall.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType {
		t.Errorf("%s: a change of its nodes would replace the pods on all others", uninstall.Spec.UpdateStrategy.Type)
	}
	proofs := map[string]*corev1.Pod{}
	for node := range pods {
		proofs[node] = f.createPod(uninstall, node)
	}
	o.stop()
	f.setPool("back-a", "edge")
	f.setPodStatus(proofs["back-a"], corev1.ConditionTrue)
	startOperator(t)

	if next := f.wantUninstallOn("back-b"); next.UID != uninstall.UID {
		t.Error("the uninstallation restarted on the other node")
	}
	f.deletePod(proofs["back-a"])
	f.createPod(f.waitForDaemonSet("sluice", exists), "back-a")
	f.setPodStatus(proofs["back-b"], corev1.ConditionTrue)
	f.wantGone(&v1alpha1.NodeEnforcer{}, "back-b")
	f.wantGone(daemonSets(), uninstallDaemonSet)
	must(t, f.Get(t.Context(), client.ObjectKey{Name: "back-a"}, &v1alpha1.NodeEnforcer{}))
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "19 of 19 nodes enforce")
}

// TestImageChangesWhileFreeing checks that uninstall pods are replaced when the Enforcer
// specifies another image, because the pods may be unable to start with the old image.
func TestImageChangesWhileFreeing(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	f.createEnforcer(edge())
	pods := f.enforcingNodes("image-a", "image-b")
	f.setPool("image-a", "other")
	f.deletePod(pods["image-a"])
	before := f.wantUninstallOn("image-a")
	change(f, &v1alpha1.Enforcer{}, enforcerKey.Name, func(e *v1alpha1.Enforcer) { e.Spec.Image = "registry.example/mirror/sluice:v1" })
	f.waitForDaemonSet(uninstallDaemonSet, func(d *appsv1.DaemonSet) error {
		if image := d.Spec.Template.Spec.Containers[0].Image; d.UID == before.UID || image != "registry.example/mirror/sluice:v1" {
			return fmt.Errorf("image %s, the same DaemonSet: %v", image, d.UID == before.UID)
		}
		return nil
	})
}

// TestUninstallWhileFreeing deletes the Enforcer while rules are being removed from a node. It
// checks that the Enforcer is uninstalled from every node.
func TestUninstallWhileFreeing(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	f.createEnforcer(edge())
	pods := f.enforcingNodes("meanwhile-a", "meanwhile-b")
	f.setPool("meanwhile-a", "other")
	f.deletePod(pods["meanwhile-a"])
	uninstall := f.wantUninstallOn("meanwhile-a")
	proof := f.createPod(uninstall, "meanwhile-a")

	must(t, f.Delete(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: enforcerKey.Name}}))
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "the enforcing pods to end, on 1 nodes: meanwhile-b")
	f.deletePod(pods["meanwhile-b"])
	uninstall = f.wantUninstallOn("every node")
	if uninstall.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType {
		t.Errorf("%s: pods with another image would stay", uninstall.Spec.UpdateStrategy.Type)
	}
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "prove", "on 2 nodes")
	other := f.createPod(uninstall, "meanwhile-b")
	f.setPodStatus(proof, corev1.ConditionTrue)
	f.setPodStatus(other, corev1.ConditionTrue)
	f.wantGone(daemonSets(), uninstallDaemonSet)
	f.deletePod(proof)
	f.deletePod(other)
	f.wantNothingLeft()
}

// TestTaintKeepsRules checks that the rules stay on a node if a taint evicts the enforcing
// pod.
func TestTaintKeepsRules(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	spec := edge()
	spec.Tolerations = []v1alpha1.Toleration{{Key: "team", Operator: v1alpha1.TolerationExists}}
	f.createEnforcer(spec)
	pods := f.enforcingNodes("taint-a", "taint-b")
	untouched := f.neverUninstalled("taint-a")
	f.setTaints("taint-a", corev1.Taint{Key: "maintenance", Value: "disk", Effect: corev1.TaintEffectNoExecute})
	// Pods of DaemonSets tolerate the taint that kubectl cordon adds.
	f.setTaints("taint-b", corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	f.deletePod(pods["taint-a"])
	f.deletePod(pods["taint-b"])
	f.setRolledOut(1)
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded,
		"taint-a: taint maintenance=disk:NoExecute keeps its pod away; the rules on the node do not change")
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes, "1 of 1 nodes")
	f.wantNone(daemonSets(), uninstallDaemonSet)

	f.setTaints("taint-a")
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)
	must(t, f.Get(t.Context(), client.ObjectKey{Name: "taint-a"}, &v1alpha1.NodeEnforcer{}))
	untouched()
}

func (f *fixture) setTaints(node string, taints ...corev1.Taint) {
	f.t.Helper()
	change(f, &corev1.Node{}, node, func(n *corev1.Node) { n.Spec.Taints = taints })
}
