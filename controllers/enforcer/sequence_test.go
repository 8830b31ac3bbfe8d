package enforcer

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// TestConditionsDoNotFlap feeds sequences of observations to the status of an Enforcer. Each
// character is one observation, 10 s after the previous one. Two nodes are selected. Node a1
// always enforces policies. The character describes node a2:
//
//	.  it enforces policies
//	d  its dataplane does not respond, and no pods are being replaced
//	D  its dataplane restarts during a rollout
//	f  it enforces policies, and its NodeEnforcer is Degraded
//	n  it does not enforce policies, and the Node is not Ready
//
// The wanted texts contain the statuses of the conditions after each observation: True (T) or
// False (F).
func TestConditionsDoNotFlap(t *testing.T) {
	for name, tt := range map[string]struct{ observed, available, degraded string }{
		"nothing happens":               {".....", "TTTTT", "FFFFF"},
		"the installation":              {"DD....", "FFTTTT", "FFFFFF"},
		"a dataplane restarts":          {"..d...", "TTTTTT", "FFFFFF"},
		"a dataplane restarts often":    {".d.d.dd.d.", "TTTTTTTTTT", "FFFFFFFFFF"},
		"a dataplane is down":           {".dddddd.....", "TTTTFFFTTTTT", "FFFFTTTTTFFF"},
		"a dataplane restarts, rollout": {".DDDD....", "TTTTFTTTT", "FFFFFFFFF"},
		"a fault for a moment":          {"..f..f..", "TTTTTTTT", "FFFFFFFF"},
		"a fault that lasts":            {".ffffff.ff....", "TTTTTTTTTTTTTT", "FFFFTTTTTTTTFF"},
		"a node dies":                   {".nnnnnnnnnnnn", "TTTTTTTTTTTTT", "FFFFFFFFFFFFF"},
		"a node is down for a moment":   {".ddn.n.dd.n", "TTTTTTTTTTT", "FFFFFFFFFFF"},
	} {
		t.Run(name, func(t *testing.T) {
			enforcer, history := &v1alpha1.Enforcer{}, newHistory(30*time.Second)
			var available, degraded strings.Builder
			for i, state := range tt.observed {
				at := metav1.NewTime(moment.Add(time.Duration(i) * 10 * time.Second))
				enforcer.Status = enforcerStatus(enforcer, nodeIn(state), history, at)
				available.WriteString(letter(enforcer, v1alpha1.ConditionAvailable))
				degraded.WriteString(letter(enforcer, v1alpha1.ConditionDegraded))
			}
			if available.String() != tt.available || degraded.String() != tt.degraded {
				t.Errorf("observed  %s\navailable %s\nwant      %s\ndegraded  %s\nwant      %s",
					tt.observed, available.String(), tt.available, degraded.String(), tt.degraded)
			}
		})
	}
}

// TestRestartKeepsDegraded checks that an operator that restarts during a fault never reports
// that the fault is gone.
func TestRestartKeepsDegraded(t *testing.T) {
	enforcer := &v1alpha1.Enforcer{}
	enforcer.Status = enforcerStatus(enforcer, nodeIn('f'), newHistory(30*time.Second), ago(time.Minute))
	if got := letter(enforcer, v1alpha1.ConditionDegraded); got != "F" {
		t.Fatalf("Degraded is %s at once", got)
	}
	enforcer.Status.Conditions = []metav1.Condition{is(v1alpha1.ConditionDegraded, metav1.ConditionTrue, "a2: full")}
	enforcer.Status = enforcerStatus(enforcer, nodeIn('f'), newHistory(30*time.Second), moment)
	if got := letter(enforcer, v1alpha1.ConditionDegraded); got != "T" {
		t.Errorf("Degraded is %s after a restart", got)
	}
}

// nodeIn returns an observation of two nodes, with the second one in the given state.
func nodeIn(state rune) observation {
	second, report, d := linux("a2"), nodeReport("a2", 0, ready), daemons(2, 0)
	down := is(v1alpha1.ConditionReady, metav1.ConditionFalse, "the dataplane does not respond")
	switch state {
	case 'd':
		report = nodeReport("a2", 0, down)
	case 'D':
		report, d = nodeReport("a2", 0, down), daemons(1, 1)
	case 'f':
		report = nodeReport("a2", 0, ready, is(v1alpha1.ConditionDegraded, metav1.ConditionTrue, "full"))
	case 'n':
		second, report = notReadyNode("a2"), nodeReport("a2", 0, down)
	}
	return observed(d, nil, []corev1.Node{linux("a1"), second}, nodeReport("a1", 0, ready), report)
}

// letter returns the first letter of the status of a condition.
func letter(enforcer *v1alpha1.Enforcer, kind v1alpha1.ConditionType) string {
	return string(meta.FindStatusCondition(enforcer.Status.Conditions, string(kind)).Status[0])
}
