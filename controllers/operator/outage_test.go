package operator_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/operator"
	"github.com/sluicenet/sluice/test/eventually"
)

const (
	nodes    = 3
	policies = 4
	// settleTime is longer than all delays of the operator between an event and a write.
	settleTime = 3500 * time.Millisecond
)

// cluster is a cluster with real agents.
type cluster struct {
	client.Client
	namespace string
	// agents contains the writes of all agents.
	agents writes
}

// newCluster creates nodes, pods and policies, and starts the agents of the nodes. The agents use
// the given configuration.
func newCluster(t *testing.T, config *rest.Config) *cluster {
	t.Helper()
	c := &cluster{Client: server.Client(t), namespace: server.Namespace(t)}
	must(t, c.Create(t.Context(), &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.EnforcerName}}))
	for i := range policies {
		must(t, c.Create(t.Context(), &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: fmt.Sprintf("policy-%d", i)},
			Spec:       networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}},
		}))
	}
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i)
		must(t, c.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelOSStable: "linux"}}}))
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "db-" + name, Labels: map[string]string{"app": "db"}},
			Spec:       corev1.PodSpec{NodeName: name, Containers: []corev1.Container{{Name: "main", Image: "main"}}},
		}
		must(t, c.Create(t.Context(), pod))
		address := fmt.Sprintf("10.0.0.%d", i+1)
		pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, address, []corev1.PodIP{{IP: address}}
		must(t, c.Status().Update(t.Context(), pod))
		startAgent(t, config, &c.agents, c.namespace, name)
	}
	return c
}

// state contains the objects that must not change during an outage.
type state struct {
	// policies contains the PolicyStatuses with their resource versions.
	policies []v1alpha1.PolicyStatus
	// responding contains the condition Responding of each NodeEnforcer.
	responding map[string]metav1.Condition
}

func (c *cluster) read(t *testing.T) (s state, err error) {
	t.Helper()
	var statuses v1alpha1.PolicyStatusList
	if err := c.List(t.Context(), &statuses, client.InNamespace(c.namespace)); err != nil {
		return s, err
	}
	s.policies, s.responding = statuses.Items, map[string]metav1.Condition{}
	if len(s.policies) != policies {
		return s, fmt.Errorf("%d PolicyStatuses, want %d", len(s.policies), policies)
	}
	for i := range s.policies {
		p := &s.policies[i].Status
		if !meta.IsStatusConditionTrue(p.Conditions, string(v1alpha1.ConditionEnforced)) || p.Nodes.Enforcing != nodes {
			return s, fmt.Errorf("PolicyStatus %s: %+v", s.policies[i].Name, p)
		}
	}
	var reports v1alpha1.NodeEnforcerList
	if err := c.List(t.Context(), &reports); err != nil {
		return s, err
	}
	for i := range reports.Items {
		n := &reports.Items[i]
		responding := meta.FindStatusCondition(n.Status.Conditions, string(v1alpha1.ConditionResponding))
		if responding == nil || responding.Status != metav1.ConditionTrue {
			return s, fmt.Errorf("NodeEnforcer %s: condition %+v", n.Name, responding)
		}
		s.responding[n.Name] = *responding
	}
	if len(s.responding) != nodes {
		return s, fmt.Errorf("%d NodeEnforcers, want %d", len(s.responding), nodes)
	}
	return s, nil
}

// settle waits until neither the operator nor an agent has written anything for some time, and
// returns the state.
func (c *cluster) settle(t *testing.T, p *process) (s state) {
	t.Helper()
	eventually.NoError(t, func() (err error) {
		s, err = c.read(t)
		if err != nil {
			return err
		}
		<-time.After(settleTime)
		if written := slices.Concat(p.writes.take(), c.agents.take()); len(written) > 0 {
			return fmt.Errorf("still being written: %q", written)
		}
		s, err = c.read(t)
		return err
	})
	return s
}

// TestOutageOfAPIServer checks that an outage of the API server does not make the operator or
// the agents change an object, even if the outage is longer than silenceTimeout.
func TestOutageOfAPIServer(t *testing.T) {
	link, config := server.Link(t, server.Config())
	c := newCluster(t, config)
	o := operator.Options{Namespace: c.namespace, SilenceTimeout: silenceTimeout, MetricsAddress: "0"}
	running := startOperator(t, config, o)
	before := c.settle(t, running)

	t.Run("the connection is cut", func(t *testing.T) {
		must(t, link.Cut())
		<-time.After(silenceTimeout + time.Second)
		must(t, link.Restore())
		c.wantUnchanged(t, before, running)
	})
	t.Run("the API server and the operator restart", func(t *testing.T) {
		began := time.Now()
		must(t, server.Kill())
		// An operator that cannot renew its own Lease ends. The kubelet then starts it again.
		running.stop()
		running = startOperator(t, config, o)
		<-time.After(max(silenceTimeout/2, silenceTimeout-time.Since(began)))
		must(t, server.Revive())
		c.wantUnchanged(t, before, running)
	})
}

// wantUnchanged waits so long that an agent would count as silent if the operator did not ignore
// the outage. Then it checks that neither the operator nor the agents have written an object.
func (c *cluster) wantUnchanged(t *testing.T, before state, p *process) {
	t.Helper()
	<-time.After(silenceTimeout + silenceTimeout/4)
	after, err := c.read(t)
	must(t, err)
	if diff := cmp.Diff(before, after, cmp.AllowUnexported(state{})); diff != "" {
		t.Errorf("the outage changed (-before +after):\n%s", diff)
	}
	for client, w := range map[string]*writes{"operator": &p.writes, "agents": &c.agents} {
		if written := w.take(); len(written) > 0 {
			t.Errorf("the outage made the %s write: %q", client, written)
		}
	}
}
