package enforcer

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

var moment = metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

func ago(d time.Duration) metav1.Time { return metav1.NewTime(moment.Add(-d)) }

// observed returns an observation of the given objects.
func observed(d *appsv1.DaemonSet, pods []corev1.Pod, nodes []corev1.Node, enforcers ...v1alpha1.NodeEnforcer) observation {
	return observation{daemonSet: d, pods: pods, nodes: nodes, nodeEnforcers: enforcers}
}

// linux returns a Linux node that is an hour old.
func linux(name string, taints ...corev1.Taint) corev1.Node {
	return corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: ago(time.Hour), Labels: map[string]string{corev1.LabelOSStable: "linux", "zone": name[:1]}},
		Spec:       corev1.NodeSpec{Taints: taints},
	}
}

// nodeReport returns a NodeEnforcer. The `silent` parameter is the time for which its agent has not
// renewed its Lease.
func nodeReport(name string, silent time.Duration, conditions ...metav1.Condition) v1alpha1.NodeEnforcer {
	n := v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.Conditions = conditions
	if silent > v1alpha1.HeartbeatTimeout {
		n.Status.Conditions = append(slices.Clone(conditions), is(v1alpha1.ConditionResponding, metav1.ConditionFalse, "silent"))
	}
	return n
}

// The function `is` returns a condition that last changed ten minutes ago.
func is(kind v1alpha1.ConditionType, status metav1.ConditionStatus, message string) metav1.Condition {
	c := v1alpha1.NewCondition(kind, status, "Any", message)
	c.LastTransitionTime = ago(10 * time.Minute)
	return c
}

var ready = is(v1alpha1.ConditionReady, metav1.ConditionTrue, "enforcing")

// daemons returns a DaemonSet. The `updated` parameter is the number of pods that run the current
// template.
func daemons(updated, unavailable int32) *appsv1.DaemonSet {
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Generation: 3, CreationTimestamp: ago(time.Hour)},
		Status:     appsv1.DaemonSetStatus{ObservedGeneration: 3, UpdatedNumberScheduled: updated, NumberUnavailable: unavailable},
	}
}

// dataplanePod returns a pod of the DaemonSet on the given node.
func dataplanePod(node string, ready bool) corev1.Pod {
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: ago(10 * time.Second)}, Spec: corev1.PodSpec{NodeName: node}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "dataplane", Ready: ready, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
	}}
	if ready {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	}
	return pod
}

// stuckPod returns a pod of the DaemonSet whose dataplane has not been ready for an hour.
func stuckPod(node string) corev1.Pod {
	pod := dataplanePod(node, false)
	pod.Namespace, pod.Name = "sluice-system", "sluice-"+node
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, LastTransitionTime: ago(time.Hour)}}
	pod.Status.ContainerStatuses[0].LastTerminationState.Terminated = &corev1.ContainerStateTerminated{Message: "starting\nno space left\n"}
	return pod
}

// notReadyNode returns a Linux node whose kubelet does not respond.
func notReadyNode(name string) corev1.Node {
	node := linux(name)
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionUnknown}}
	return node
}

func rejecting(o observation, rejection string) observation {
	o.rejection = rejection
	return o
}

func failing(o observation, failure string) observation {
	o.applyFailure = failure
	return o
}

func TestEnforcerStatus(t *testing.T) {
	young := linux("b2")
	young.CreationTimestamp = ago(time.Minute)
	windows := linux("w1")
	windows.Labels[corev1.LabelOSStable] = "windows"
	notReady := is(v1alpha1.ConditionReady, metav1.ConditionFalse, "the dataplane does not respond")
	restarting := notReady
	restarting.LastTransitionTime = ago(20 * time.Second)
	fargate := linux("f1")
	fargate.Labels["eks.amazonaws.com/compute-type"] = "fargate"
	old := daemons(2, 0)
	old.Status.ObservedGeneration = 2
	crashed := corev1.Pod{Spec: corev1.PodSpec{NodeName: "a1"}}
	crashed.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name:                 "dataplane",
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "starting\nthe kernel lacks CONFIG_NFT_QUEUE\n"}},
	}}
	pulling := corev1.Pod{Spec: corev1.PodSpec{NodeName: "a1"}}
	pulling.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: "agent", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}},
	}}

	type want struct {
		counts                           v1alpha1.NodeCounts
		available, progressing, degraded string
	}
	tests := map[string]struct {
		spec        v1alpha1.EnforcerSpec
		observation observation
		// lasted is the time for which the observation has been the same. 0 means ten
		// minutes.
		lasted time.Duration
		want   want
	}{
		"all nodes enforce": {
			observation: observed(daemons(2, 0), nil, []corev1.Node{linux("b1"), linux("a1"), windows}, nodeReport("a1", 5*time.Second, ready), nodeReport("b1", 50*time.Second, ready)),
			want: want{
				v1alpha1.NodeCounts{Desired: 2, Ready: 2, UpToDate: 2},
				"True AllNodes 2 of 2 nodes enforce", "False AllNodes 2 of 2 nodes run the current spec", "False AsExpected",
			},
		},
		"a new node has not reported yet": {
			observation: observed(nil, nil, []corev1.Node{young}), lasted: time.Minute,
			want: want{
				v1alpha1.NodeCounts{Desired: 1},
				"False NodesMissing 1 of 1 nodes do not enforce: b2: no agent has reported yet", "True RollingOut 0 of 1", "False AsExpected",
			},
		},
		"an old node has never reported": {
			observation: observed(daemons(1, 0), nil, []corev1.Node{linux("a1")}),
			want: want{
				v1alpha1.NodeCounts{Desired: 1, UpToDate: 1},
				"False NodesMissing a1: no agent has reported yet", "False AllNodes", "True NodesDegraded a1: no agent has reported yet",
			},
		},
		"no node is selected": {
			spec:        v1alpha1.EnforcerSpec{NodeSelector: map[string]string{"zone": "c"}},
			observation: observed(daemons(0, 0), nil, []corev1.Node{linux("a1")}),
			want:        want{v1alpha1.NodeCounts{}, "False NoNodes", "False NoNodes", "False AsExpected"},
		},
		"nodeSelector and tolerations choose the nodes": {
			spec: v1alpha1.EnforcerSpec{
				NodeSelector: map[string]string{"zone": "a"},
				Tolerations:  []v1alpha1.Toleration{{Key: "team", Value: "blue", Effect: v1alpha1.TaintNoSchedule}},
			},
			observation: observed(daemons(2, 0), nil, []corev1.Node{
				linux("b1"),
				linux("a1", corev1.Taint{Key: "team", Value: "blue", Effect: corev1.TaintEffectNoSchedule}),
				linux("a2", corev1.Taint{Key: "team", Value: "red", Effect: corev1.TaintEffectNoSchedule}),
				linux("a3", corev1.Taint{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute}),
			}, nodeReport("a1", 0, ready), nodeReport("b1", 0, ready)),
			want: want{
				v1alpha1.NodeCounts{Desired: 2, Ready: 1, UpToDate: 2},
				"False NodesMissing 1 of 2 nodes do not enforce: a3: no agent", "False AllNodes", "True NodesDegraded a3: no agent",
			},
		},
		"the status of the DaemonSet is outdated": {
			observation: observed(old, nil, []corev1.Node{linux("a1")}, nodeReport("a1", 0, ready)),
			want:        want{v1alpha1.NodeCounts{Desired: 1, Ready: 1}, "True AllNodes", "True RollingOut 0 of 1", "False AsExpected"},
		},
		"a node restarts": {
			lasted:      20 * time.Second,
			observation: observed(daemons(1, 1), nil, []corev1.Node{linux("a1"), linux("a2")}, nodeReport("a1", 0, restarting), nodeReport("a2", 0, ready)),
			want: want{
				v1alpha1.NodeCounts{Desired: 2, Ready: 1, UpToDate: 1},
				"False NodesMissing a1: the dataplane does not respond", "True RollingOut 1 of 2", "False AsExpected",
			},
		},
		"the pod was replaced, and the newest report is from the previous pod": {
			lasted: time.Minute,
			observation: observed(daemons(2, 0), []corev1.Pod{dataplanePod("a1", false), dataplanePod("a2", true)},
				[]corev1.Node{linux("a1"), linux("a2")}, nodeReport("a1", 0, ready), nodeReport("a2", 0, ready)),
			want: want{
				v1alpha1.NodeCounts{Desired: 2, Ready: 1, UpToDate: 2},
				"False NodesMissing a1: its dataplane is starting", "False AllNodes", "False AsExpected",
			},
		},
		"a node stays not ready": {
			observation: observed(daemons(1, 1), nil, []corev1.Node{linux("a1")}, nodeReport("a1", 0, notReady)),
			want: want{
				v1alpha1.NodeCounts{Desired: 1, UpToDate: 1},
				"False NodesMissing a1: the dataplane does not respond", "False AllNodes", "True NodesDegraded a1: the dataplane does not respond",
			},
		},
		"an agent stopped reporting": {
			observation: observed(daemons(1, 0), nil, []corev1.Node{linux("a1")}, nodeReport("a1", 12*time.Minute, ready)),
			want: want{
				v1alpha1.NodeCounts{Desired: 1, UpToDate: 1},
				"False NodesMissing a1: its agent has not reported for more than 1m0s: the failure policy decides about its new pods", "False AllNodes", "True NodesDegraded a1: its agent has not reported",
			},
		},
		"the kernel lacks a feature": {
			observation: observed(daemons(1, 1), []corev1.Pod{crashed}, []corev1.Node{linux("a1")}, nodeReport("a1", 0, restarting)),
			want: want{
				v1alpha1.NodeCounts{Desired: 1, UpToDate: 1},
				"False NodesMissing a1: dataplane ended with code 1: the kernel lacks CONFIG_NFT_QUEUE", "False AllNodes",
				"True NodesDegraded a1: dataplane ended with code 1: the kernel lacks CONFIG_NFT_QUEUE",
			},
		},
		"no image": {
			observation: observed(daemons(1, 1), []corev1.Pod{pulling}, []corev1.Node{linux("a1")}),
			want: want{
				v1alpha1.NodeCounts{Desired: 1, UpToDate: 1},
				"False NodesMissing a1: agent is waiting: no such image", "False AllNodes", "True NodesDegraded a1: agent is waiting: no such image",
			},
		},
		"a node enforces but has a fault": {
			observation: observed(daemons(1, 0), nil, []corev1.Node{linux("a1")},
				nodeReport("a1", 0, ready, is(v1alpha1.ConditionDegraded, metav1.ConditionTrue, "packets found a queue full"))),
			want: want{
				v1alpha1.NodeCounts{Desired: 1, Ready: 1, UpToDate: 1},
				"True AllNodes", "False AllNodes", "True NodesDegraded a1: packets found a queue full",
			},
		},
		"a dead node does not count": {
			observation: observed(daemons(1, 1), nil, []corev1.Node{linux("a1"), notReadyNode("a2")}, nodeReport("a1", 0, ready), nodeReport("a2", 0, notReady)),
			want: want{
				v1alpha1.NodeCounts{Desired: 2, Ready: 1, UpToDate: 1, Unreachable: 1},
				"True AllNodes 1 of 2 nodes enforce; 1 nodes are not Ready and do not count: a2",
				"False AllNodes 1 of 2 nodes run the current spec; 1 nodes are not Ready", "False AsExpected",
			},
		},
		"all nodes are dead": {
			observation: observed(daemons(1, 1), nil, []corev1.Node{notReadyNode("a2")}, nodeReport("a2", 0, notReady)),
			want: want{
				v1alpha1.NodeCounts{Desired: 1, UpToDate: 1, Unreachable: 1},
				"False NodesMissing no node enforces; 1 nodes are not Ready", "False AllNodes", "False AsExpected",
			},
		},
		"a node is not Ready, but enforces": {
			observation: observed(daemons(1, 0), nil, []corev1.Node{notReadyNode("a2")}, nodeReport("a2", 0, ready)),
			want:        want{v1alpha1.NodeCounts{Desired: 1, Ready: 1, UpToDate: 1}, "True AllNodes 1 of 1", "False AllNodes", "False AsExpected"},
		},
		"a dataplane does not get ready": {
			observation: observed(daemons(1, 1), []corev1.Pod{stuckPod("a1")}, []corev1.Node{linux("a1")}, nodeReport("a1", 0, ready)),
			want: want{
				v1alpha1.NodeCounts{Desired: 1, UpToDate: 1},
				"False NodesMissing a1: its dataplane is not ready since 2026-01-02T02:04:05Z: no space left; see kubectl -n sluice-system logs sluice-a1 -c dataplane",
				"False AllNodes", "True NodesDegraded a1: its dataplane is not ready since 2026-01-02T02:04:05Z",
			},
		},
		"a tree is rejected": {
			observation: observed(daemons(1, 1), []corev1.Pod{stuckPod("a1")}, []corev1.Node{linux("a1")},
				nodeReport("a1", 0, is(v1alpha1.ConditionReady, metav1.ConditionFalse, "tree 7 is rejected: checksum"))),
			want: want{
				v1alpha1.NodeCounts{Desired: 1, UpToDate: 1},
				"False NodesMissing tree 7 is rejected: checksum; see kubectl -n sluice-system logs sluice-a1 -c dataplane",
				"False AllNodes", "True NodesDegraded tree 7 is rejected: checksum; see kubectl",
			},
		},
		"a node blocks a rollout": {
			observation: observed(daemons(1, 1), []corev1.Pod{dataplanePod("a1", true), stuckPod("a1"), dataplanePod("a2", true)},
				[]corev1.Node{linux("a1"), linux("a2"), notReadyNode("a3")}, nodeReport("a1", 0, ready), nodeReport("a2", 0, ready)),
			want: want{
				v1alpha1.NodeCounts{Desired: 3, Ready: 2, UpToDate: 1, Unreachable: 1},
				"True AllNodes", "True RollingOut 1 of 3 nodes run the current spec; blocked by node a1 since 2026-01-02T02:54:05Z; 1 nodes are not Ready", "False AsExpected",
			},
		},
		"a virtual node": {
			observation: observed(daemons(0, 0), nil, []corev1.Node{fargate}),
			want:        want{v1alpha1.NodeCounts{}, "False NoNodes", "False NoNodes", "False AsExpected"},
		},
		"no pod can be created": {
			observation: rejecting(observed(daemons(0, 1), nil, []corev1.Node{linux("a1")}), "pods \"sluice-\" is forbidden: insufficient quota"),
			want: want{
				v1alpha1.NodeCounts{Desired: 1},
				"False NodesMissing a1: no pod can be created: pods \"sluice-\" is forbidden", "True RollingOut",
				"True NodesDegraded insufficient quota",
			},
		},
		"objects cannot be applied": {
			observation: failing(observed(daemons(1, 0), nil, []corev1.Node{linux("a1")}, nodeReport("a1", 0, ready)), "applying DaemonSet sluice: invalid"),
			want: want{
				v1alpha1.NodeCounts{Desired: 1, Ready: 1, UpToDate: 1},
				"True AllNodes", "False AllNodes", "True ApplyFailed applying DaemonSet sluice: invalid",
			},
		},
		"a list of many nodes is shortened": {
			observation: observed(daemons(5, 0), nil, []corev1.Node{linux("a5"), linux("a4"), linux("a3"), linux("a2"), linux("a1")}),
			want: want{
				v1alpha1.NodeCounts{Desired: 5, UpToDate: 5},
				"False NodesMissing 5 of 5 nodes do not enforce: a1: no agent has reported yet; a2: no agent has reported yet; a3: no agent has reported yet and 2 more",
				"False AllNodes", "True NodesDegraded and 2 more",
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			enforcer := &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Generation: 7}, Spec: tt.spec}
			history := newHistory(30 * time.Second)
			enforcerStatus(enforcer, tt.observation, history, ago(cmp.Or(tt.lasted, 10*time.Minute)))
			got := enforcerStatus(enforcer, tt.observation, history, moment)
			if got.Nodes != tt.want.counts || got.ObservedGeneration != 7 {
				t.Errorf("%+v of generation %d, want %+v of generation 7", got.Nodes, got.ObservedGeneration, tt.want.counts)
			}
			for kind, want := range map[v1alpha1.ConditionType]string{
				v1alpha1.ConditionAvailable:   tt.want.available,
				v1alpha1.ConditionProgressing: tt.want.progressing,
				v1alpha1.ConditionDegraded:    tt.want.degraded,
			} {
				c := meta.FindStatusCondition(got.Conditions, string(kind))
				words := strings.SplitN(want, " ", 3)
				if string(c.Status) != words[0] || c.Reason != words[1] || (len(words) == 3 && !strings.Contains(c.Message, words[2])) {
					t.Errorf("%s is %s %s %q, want %q", kind, c.Status, c.Reason, c.Message, want)
				}
			}
			enforcer.Status = got
			if again := enforcerStatus(enforcer, tt.observation, history, metav1.NewTime(moment.Add(time.Nanosecond))); len(again.Conditions) != 3 ||
				!again.Conditions[0].LastTransitionTime.Equal(&moment) {
				t.Errorf("%+v: an unchanged condition has a new time", again.Conditions)
			}
		})
	}
}
