package enforcer_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

const leavingDaemonSet = "sluice-leaving"

// wantLeaving waits until the DaemonSet for leaving nodes runs on the given nodes and no others.
func (f *fixture) wantLeaving(nodes ...string) *appsv1.DaemonSet {
	f.t.Helper()
	return f.waitForDaemonSet(leavingDaemonSet, func(d *appsv1.DaemonSet) error {
		if got := nodesOf(d); !slices.Equal(got, nodes) {
			return fmt.Errorf("it runs on %v, want %v", got, nodes)
		}
		return nil
	})
}

// wantSelector waits until the nodeSelector of the main DaemonSet requires the given value of the
// label `pool`.
func (f *fixture) wantSelector(pool string) {
	f.t.Helper()
	want := map[string]string{"pool": pool, corev1.LabelOSStable: "linux"}
	f.waitForDaemonSet("sluice", func(d *appsv1.DaemonSet) error {
		if got := d.Spec.Template.Spec.NodeSelector; !maps.Equal(got, want) {
			return fmt.Errorf("nodeSelector %v, want %v", got, want)
		}
		return nil
	})
}

func (f *fixture) selectPool(pool string) {
	f.t.Helper()
	change(f, &v1alpha1.Enforcer{}, enforcerKey.Name, func(e *v1alpha1.Enforcer) { e.Spec.NodeSelector["pool"] = pool })
}

func (f *fixture) setFreeAfter(wait time.Duration) {
	f.t.Helper()
	change(f, &v1alpha1.Enforcer{}, enforcerKey.Name, func(e *v1alpha1.Enforcer) { e.Spec.FreeAfter = &metav1.Duration{Duration: wait} })
}

// TestSelectorMatchesNoNode changes the nodeSelector to one that matches no node. It checks that
// no node is freed and that the previous nodeSelector stays in effect.
func TestSelectorMatchesNoNode(t *testing.T) {
	f := newFixture(t)
	f.enforcingOperator("typo-a", "typo-b")
	f.setRolledOut(2)
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "2 of 2 nodes enforce")
	untouched := f.neverUninstalled("typo-a")
	f.selectPool("egde")
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonSelectorMatchesNoNode, "nodeSelector matches no node")
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes, "2 of 2 nodes enforce")
	f.wantSelector("edge")

	f.selectPool("edge")
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)
	untouched()
}

// TestNoNodeHasTheLabel relabels all nodes, so that none of them has the label that the
// nodeSelector requires. It checks that no node is freed and that policies remain enforced.
func TestNoNodeHasTheLabel(t *testing.T) {
	f := newFixture(t)
	pods := f.enforcingOperator("label-a", "label-b")
	untouched := f.neverUninstalled("label-a")
	for node, pod := range pods {
		f.setPool(node, "other")
		f.deletePod(pod)
	}
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonSelectorMatchesNoNode)
	f.wantLeaving("label-a", "label-b")
	untouched()
}

// TestFreeAfter checks that policies remain enforced on a node until the wait is over, and that an
// Event and a condition name the node in advance.
func TestFreeAfter(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	spec := edge()
	spec.FreeAfter = &metav1.Duration{Duration: time.Hour}
	f.createEnforcer(spec)
	pods := f.enforcingNodes("wait-a", "wait-b")
	untouched := f.neverUninstalled("wait-a")
	f.setPool("wait-a", "other")
	f.deletePod(pods["wait-a"])
	f.wantEvent("NodesToBeFreed", "the rules are removed in 1h0m0s, on at most 1 nodes at the same time, from wait-a")
	f.setRolledOut(1)
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonFreeingNodes, "wait-a: enforces policies until ", " UTC")
	leaving := f.wantLeaving("wait-a")
	if name := leaving.Spec.Template.Spec.Containers[0].Name; name != "agent" {
		t.Errorf("the DaemonSet for leaving nodes runs %s, want an enforcing pod", name)
	}
	pod := f.createPod(leaving, "wait-a")
	f.setPodStatus(pod, corev1.ConditionTrue)
	untouched()

	f.setFreeAfter(0)
	f.wantGone(daemonSets(), leavingDaemonSet)
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonFreeingNodes, "wait-a: sluice-leaving-wait-a must end first")
	f.deletePod(pod)
	uninstall := f.wantUninstallOn("wait-a")
	f.setPodStatus(f.createPod(uninstall, "wait-a"), corev1.ConditionTrue)
	f.wantGone(&v1alpha1.NodeEnforcer{}, "wait-a")
}

// TestFewNodesAreFreedAtATime deselects two of three nodes. It checks that one of the two enforces
// policies until the other one has been freed.
func TestFewNodesAreFreedAtATime(t *testing.T) {
	f := newFixture(t)
	pods := f.enforcingOperator("few-a", "few-b", "few-c")
	for _, node := range []string{"few-a", "few-b"} {
		f.setPool(node, "other")
		f.deletePod(pods[node])
	}
	untouched := f.neverUninstalled("few-b")
	uninstall := f.wantUninstallOn("few-a")
	f.wantLeaving("few-b")
	f.setRolledOut(1)
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonFreeingNodes, "few-b: enforces policies until others are free, at most 1 at the same time")
	untouched()
	f.setPodStatus(f.createPod(uninstall, "few-a"), corev1.ConditionTrue)
	f.wantUninstallOn("few-b")
	f.wantGone(daemonSets(), leavingDaemonSet)
}

// TestSelectorChangesWithoutGap changes the nodeSelector to one that selects another node. It
// checks that the main DaemonSet keeps its pod on the old node until a pod of the DaemonSet
// for leaving nodes is ready there.
func TestSelectorChangesWithoutGap(t *testing.T) {
	f := newFixture(t)
	f.enforcingOperator("gap-a")
	f.createNode("gap-b")
	f.setPool("gap-b", "core")
	change(f, &v1alpha1.Enforcer{}, enforcerKey.Name, func(e *v1alpha1.Enforcer) {
		e.Spec.NodeSelector["pool"], e.Spec.FreeAfter = "core", &metav1.Duration{Duration: time.Hour}
	})
	leaving := f.wantLeaving("gap-a")
	f.wantSelector("edge")
	f.setPodStatus(f.createPod(leaving, "gap-a"), corev1.ConditionTrue)
	f.wantSelector("core")
	f.wantLeaving("gap-a")
}

// TestReturningNode checks that a node that is selected again keeps the pod of the DaemonSet for
// leaving nodes until a pod of the main DaemonSet is ready.
func TestReturningNode(t *testing.T) {
	f := newFixture(t)
	pods := f.enforcingOperator("return-a", "return-b")
	f.setFreeAfter(time.Hour)
	f.setPool("return-a", "other")
	f.deletePod(pods["return-a"])
	f.setPodStatus(f.createPod(f.wantLeaving("return-a"), "return-a"), corev1.ConditionTrue)
	f.setPool("return-a", "edge")
	again := f.createPod(f.waitForDaemonSet("sluice", exists), "return-a")
	f.setRolledOut(2)
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes, "2 of 2 nodes")
	f.wantLeaving("return-a")
	f.setPodStatus(again, corev1.ConditionTrue)
	f.wantGone(daemonSets(), leavingDaemonSet)
}

// TestRevisionsDoNotGrow checks that the DaemonSet controller keeps no old revisions of the
// DaemonSets whose list of nodes changes.
func TestRevisionsDoNotGrow(t *testing.T) {
	f := newFixture(t)
	pods := f.enforcingOperator("revision-a", "revision-b", "revision-c")
	for _, node := range []string{"revision-a", "revision-b"} {
		f.setPool(node, "other")
		f.deletePod(pods[node])
	}
	for _, d := range []*appsv1.DaemonSet{f.wantLeaving("revision-b"), f.wantUninstallOn("revision-a")} {
		if limit := d.Spec.RevisionHistoryLimit; limit == nil || *limit != 0 {
			t.Errorf("DaemonSet %s keeps old revisions", d.Name)
		}
	}
}

// abandon sets the annotation with which a user abandons nodes.
func (f *fixture) abandon(nodes string) {
	f.t.Helper()
	change(f, &v1alpha1.Enforcer{}, enforcerKey.Name, func(e *v1alpha1.Enforcer) {
		e.Annotations = map[string]string{v1alpha1.AnnotationAbandon: nodes}
	})
}

// failedProof is the container status of an uninstall pod that failed.
var failedProof = corev1.ContainerStatus{Name: "uninstall", Image: testImage, ImageID: testImage, State: corev1.ContainerState{
	Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "sluice: uninstalling: a file is left"},
}}

// TestAbandonWhileUninstalling checks that an uninstallation that waits for a node reports how to
// give up this node. After the user has abandoned the node, the uninstallation must end, and the
// list record.Left must contain the node.
func TestAbandonWhileUninstalling(t *testing.T) {
	f := newFixture(t)
	pods := f.enforcingOperator("abandon-a", "abandon-b")
	must(t, f.Delete(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: enforcerKey.Name}}))
	const fix = "kubectl annotate --overwrite enforcer default policy.sluice.dev/abandon=NODE"
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "on 2 nodes", fix)
	f.deletePod(pods["abandon-b"])
	// The kubelet of this node never deletes the pod.
	f.abandon("abandon-a, abandon-x")
	uninstall := f.waitForDaemonSet(uninstallDaemonSet, exists)
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "names nodes that do not exist: abandon-x")
	f.abandon("abandon-a")
	f.setPodStatus(f.createPod(uninstall, "abandon-b"), corev1.ConditionFalse, failedProof)
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonUninstalling, "abandon-b: uninstall ended with code 1", fix)
	f.abandon("abandon-a,abandon-b")
	f.wantGone(&v1alpha1.Enforcer{}, enforcerKey.Name)
	f.wantEvent("NodesLeft", "abandon-a, abandon-b; see ConfigMap sluice-nodes-left")
	const reason = "abandoned with the annotation policy.sluice.dev/abandon"
	f.wantLeft(map[string]string{"abandon-a": reason, "abandon-b": reason})
}

// TestAbandonWhileFreeing checks that a user can give up a node that cannot be freed, and that
// the next node is then freed.
func TestAbandonWhileFreeing(t *testing.T) {
	f := newFixture(t)
	pods := f.enforcingOperator("give-a", "give-b", "give-c")
	for _, node := range []string{"give-a", "give-b"} {
		f.setPool(node, "other")
		f.deletePod(pods[node])
	}
	uninstall := f.wantUninstallOn("give-a")
	f.setPodStatus(f.createPod(uninstall, "give-a"), corev1.ConditionFalse, failedProof)
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded, "give-a: uninstall ended", "policy.sluice.dev/abandon=NODE")
	f.abandon("give-a,give-c,give-x")
	f.wantGone(&v1alpha1.NodeEnforcer{}, "give-a")
	f.wantLeft(map[string]string{"give-a": "abandoned with the annotation policy.sluice.dev/abandon"})
	f.wantUninstallOn("give-b")
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded, "names nodes that do not exist: give-x")
	must(t, f.Get(t.Context(), client.ObjectKey{Name: "give-c"}, &v1alpha1.NodeEnforcer{}))
}
