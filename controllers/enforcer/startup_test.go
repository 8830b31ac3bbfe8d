package enforcer_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/eventually"
)

var (
	notReady      = corev1.Taint{Key: v1alpha1.TaintNotReady, Effect: corev1.TaintEffectNoSchedule}
	notReadyEvict = corev1.Taint{Key: v1alpha1.TaintNotReady, Value: "true", Effect: corev1.TaintEffectNoExecute}
	dedicated     = corev1.Taint{Key: "dedicated", Value: "gpu", Effect: corev1.TaintEffectNoSchedule}
	draining      = corev1.Taint{Key: "draining", Effect: corev1.TaintEffectNoSchedule}
	synced        = v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionTrue, v1alpha1.ReasonWatching, "all objects are watched")
)

// bootNode creates a ready node with taints and a boot ID.
func (f *fixture) bootNode(name, bootID string, taints ...corev1.Taint) {
	f.t.Helper()
	node := f.createNode(name)
	node.Spec.Taints = taints
	must(f.t, f.Update(f.t.Context(), node))
	node.Status.NodeInfo.BootID = bootID
	must(f.t, f.Status().Update(f.t.Context(), node))
}

// reportBoot writes the NodeEnforcer of a node that has enforced policies since the given boot.
func (f *fixture) reportBoot(name, bootID string, conditions ...metav1.Condition) {
	f.t.Helper()
	f.reportEnforcing(name, append([]metav1.Condition{synced}, conditions...)...)
	n := &v1alpha1.NodeEnforcer{}
	must(f.t, f.Get(f.t.Context(), client.ObjectKey{Name: name}, n))
	n.Status.BootID = bootID
	must(f.t, f.Status().Update(f.t.Context(), n))
}

// taints returns the keys of a node's taints.
func (f *fixture) taints(name string) []string {
	f.t.Helper()
	var node corev1.Node
	must(f.t, f.Get(f.t.Context(), client.ObjectKey{Name: name}, &node))
	var out []string
	for _, t := range node.Spec.Taints {
		out = append(out, t.Key)
	}
	return out
}

// wantTaints waits until a node has the taints with the given keys.
func (f *fixture) wantTaints(name string, want ...string) {
	f.t.Helper()
	eventually.NoError(f.t, func() error {
		if diff := cmp.Diff(want, f.taints(name)); diff != "" {
			return fmt.Errorf("taints of %s (-want +got):\n%s", name, diff)
		}
		return nil
	})
}

// TestStartupTaintIsRemoved checks that the startup taint is removed when the node enforces
// policies and not before. Other taints must stay.
func TestStartupTaintIsRemoved(t *testing.T) {
	f := newFixture(t)
	o := startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{StartupTaint: true})
	f.waitForDaemonSet("sluice", exists)
	f.bootNode("new-a", "boot-2", dedicated, notReady, notReadyEvict)
	f.setRolledOut(1)
	progressing := func(words ...string) {
		t.Helper()
		f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionTrue, v1alpha1.ReasonNodesStarting,
			append(words, "waiting to remove taint policy.sluice.dev/not-ready, on 1 nodes: new-a: ")...)
	}
	progressing("no agent has reported yet")
	f.reportBoot("new-a", "boot-2", v1alpha1.NewCondition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonWaitingForDataplane, "no generation yet"))
	progressing("no generation yet")
	f.reportBoot("new-a", "boot-2", v1alpha1.NewCondition(v1alpha1.ConditionSynced, metav1.ConditionFalse, v1alpha1.ReasonNotSyncedYet, "not yet"))
	progressing("not up to date yet")
	f.reportBoot("new-a", "boot-1")
	progressing("has not reported since the node booted")
	if n := o.written("nodes/new-a"); n != 0 {
		t.Errorf("%d writes of the Node before it is ready", n)
	}

	f.reportBoot("new-a", "boot-2")
	f.wantTaints("new-a", "dedicated")
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes)
	if n := o.written("nodes/new-a"); n != 1 {
		t.Errorf("%d writes of the Node, want 1", n)
	}

	// An administrator can add the taint again, for example before a reboot of the node.
	change(f, &corev1.Node{}, "new-a", func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, notReady)
	})
	f.wantTaints("new-a", "dedicated")
}

// TestStartupTaintIsOffByDefault checks that the operator changes no Node if the Enforcer does
// not enable the startup taint.
func TestStartupTaintIsOffByDefault(t *testing.T) {
	f := newFixture(t)
	o := startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{})
	f.waitForDaemonSet("sluice", exists)
	f.bootNode("off-a", "boot-1", notReady)
	f.reportBoot("off-a", "boot-1")
	f.setRolledOut(1)
	f.wantCondition(v1alpha1.ConditionAvailable, metav1.ConditionTrue, v1alpha1.ReasonAllNodes)
	f.wantCondition(v1alpha1.ConditionProgressing, metav1.ConditionFalse, v1alpha1.ReasonAllNodes)
	if n := o.written("nodes/off-a"); n != 0 {
		t.Errorf("%d writes of the Node, want none", n)
	}
	f.wantTaints("off-a", v1alpha1.TaintNotReady)

	change(f, &v1alpha1.Enforcer{}, enforcerKey.Name, func(e *v1alpha1.Enforcer) { e.Spec.StartupTaint = true })
	f.wantTaints("off-a")
}

// TestStartupTaintOfAnUnselectedNode checks that the status names a node that keeps the startup
// taint because the Enforcer does not select the node.
func TestStartupTaintOfAnUnselectedNode(t *testing.T) {
	f := newFixture(t)
	startOperator(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{StartupTaint: true, NodeSelector: map[string]string{"pool": "edge"}})
	f.bootNode("other-a", "boot-1", notReady)
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonNodesDegraded, "other-a: it has the startup taint, but no policy is enforced on it")
	f.setPool("other-a", "edge")
	f.reportBoot("other-a", "boot-1")
	f.wantTaints("other-a")
	f.wantCondition(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)
}

// TestStartupTaintKeepsConcurrentChanges checks that a taint stays if another client adds it
// after the operator has read the Node and before it removes the startup taint.
func TestStartupTaintKeepsConcurrentChanges(t *testing.T) {
	f := newFixture(t)
	o := newOperator()
	var once sync.Once
	var concurrent error
	o.before = func(request *http.Request) {
		if request.Method != http.MethodPatch || !strings.HasSuffix(request.URL.Path, "/nodes/busy-a") {
			return
		}
		once.Do(func() {
			var node corev1.Node
			concurrent = f.Get(request.Context(), client.ObjectKey{Name: "busy-a"}, &node)
			node.Spec.Taints = append(node.Spec.Taints, draining)
			concurrent = errors.Join(concurrent, f.Update(request.Context(), &node))
		})
	}
	o.start(t)
	f.createEnforcer(v1alpha1.EnforcerSpec{StartupTaint: true})
	added := metav1.NewTime(time.Now().Add(-time.Hour).Truncate(time.Second))
	evicting := corev1.Taint{Key: "evicting", Effect: corev1.TaintEffectNoExecute, TimeAdded: &added}
	f.bootNode("busy-a", "boot-1", notReady, evicting)
	f.reportBoot("busy-a", "boot-1")
	f.wantTaints("busy-a", "evicting", "draining")
	must(t, concurrent)
	// The test counts a write when the response arrives. This can be after the event that the write
	// causes.
	eventually.NoError(t, func() error {
		if n := o.written("nodes/busy-a"); n != 2 {
			return fmt.Errorf("%d writes of the Node, want one that is rejected and one that succeeds", n)
		}
		return nil
	})
	var node corev1.Node
	must(t, f.Get(t.Context(), client.ObjectKey{Name: "busy-a"}, &node))
	if diff := cmp.Diff([]corev1.Taint{evicting, draining}, node.Spec.Taints); diff != "" {
		t.Errorf("taints (-want +got):\n%s", diff)
	}
}
