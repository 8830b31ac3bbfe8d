package node_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/test/eventually"
)

// publishEmpty publishes an empty tree, as an earlier agent might have done, and returns the
// generation of this tree.
func publishEmpty(t *testing.T, name, stateDir string) uint64 {
	t.Helper()
	publisher, err := statedir.NewPublisher(stateDir)
	if err != nil {
		t.Fatal(err)
	}
	var last uint64
	for range 7 {
		if last, err = publisher.Publish(build.New(name)); err != nil {
			t.Fatal(err)
		}
	}
	return last
}

// TestAPIServerUnreachable checks that the tree on disk stays while the API server cannot
// be reached, both at startup and later. It also checks that the agent continues when the
// API server returns.
func TestAPIServerUnreachable(t *testing.T) {
	c := newCluster(t)
	dir := t.TempDir()
	before := publishEmpty(t, "away", dir)
	link, config := server.Link(t, server.Config())
	c.must(t, link.Cut())
	a := start(t, config, "away", dir)
	eventually.NoError(t, func() error { return unready(a.ready("api-server")) })
	if err := a.ready("published"); err == nil {
		t.Error("published is ready while the API server cannot be reached")
	}
	if got := a.generation(t); got != before {
		t.Errorf("generation %d while the API server cannot be reached, want %d", got, before)
	}

	c.must(t, link.Restore())
	c.pod(t, "db", "away", "10.5.0.2")
	web := c.pod(t, "web", "elsewhere", "10.5.0.3")
	c.policyFor(t, "db", from("web"))
	a.wantVerdict(t, "10.5.0.3", "10.5.0.2", rule.Allow)
	a.wantVerdict(t, "10.5.0.4", "10.5.0.2", rule.Deny)
	eventually.NoError(t, func() error { return errors.Join(a.ready("api-server"), a.ready("published")) })
	if got := a.generation(t); got <= before {
		t.Errorf("generation %d after %d", got, before)
	}
	pods := a.metric(t, "sluice_agent_objects", "Pod")

	c.must(t, link.Cut())
	eventually.NoError(t, func() error { return unready(a.ready("api-server")) })
	kept := a.generation(t)
	c.must(t, c.Delete(t.Context(), web, now))
	if got := a.generation(t); got != kept {
		t.Errorf("generation %d after the connection was cut, want %d", got, kept)
	}
	c.must(t, link.Restore())
	a.wantVerdict(t, "10.5.0.3", "10.5.0.2", rule.Deny)
	eventually.NoError(t, func() error { return a.ready("api-server") })
	if got := a.generation(t); got != kept+1 {
		t.Errorf("generation %d, want %d after one deleted pod", got, kept+1)
	}
	if got := a.metric(t, "sluice_agent_objects", "Pod"); got != pods-1 {
		t.Errorf("%v pods, want %v", got, pods-1)
	}
}

// TestNothingIsPublishedBeforeSync checks that the agent publishes nothing while it cannot
// list the objects of one kind.
func TestNothingIsPublishedBeforeSync(t *testing.T) {
	c := newCluster(t)
	c.pod(t, "db", "sync", "10.6.0.2")
	c.policyFor(t, "db")
	dir := t.TempDir()
	before := publishEmpty(t, "sync", dir)
	c.role(t, "sync", "networkpolicies", "namespaces", "nodes", "customresourcedefinitions")
	a := start(t, server.User(t, "sync"), "sync", dir)
	eventually.NoError(t, func() error {
		for _, kind := range []string{"NetworkPolicy", "Namespace", "Node"} {
			if a.metric(t, "sluice_agent_api_server_connected", kind) != 1 {
				return fmt.Errorf("no %s objects yet", kind)
			}
		}
		if err := a.ready("api-server"); err == nil || !strings.Contains(err.Error(), "Pod") {
			return fmt.Errorf("readiness is %w, want an error about Pods", err)
		}
		return nil
	})
	if got := a.generation(t); got != before {
		t.Errorf("generation %d before pods are listed, want %d", got, before)
	}
	c.role(t, "sync-pods", "pods")
	c.bind(t, "sync-pods", "sync")
	a.wantVerdict(t, "10.6.0.3", "10.6.0.2", rule.Deny)
	if got := a.generation(t); got != before+1 {
		t.Errorf("generation %d: want %d, all objects in one tree", got, before+1)
	}
}

// role creates a role that may read some resources, and binds it to the user that has the
// same name as the role.
func (c *cluster) role(t *testing.T, name string, resources ...string) {
	t.Helper()
	c.must(t, c.Create(t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"", "networking.k8s.io", "apiextensions.k8s.io"}, Resources: resources, Verbs: []string{"get", "list", "watch"},
		}},
	}))
	c.bind(t, name, name)
}

// bind binds a role to a user.
func (c *cluster) bind(t *testing.T, role, user string) {
	t.Helper()
	c.must(t, c.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role + "-" + user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}))
}

// unready returns an error if a readiness check succeeded, and nil if it failed.
func unready(err error) error {
	if err == nil {
		return errors.New("ready")
	}
	return nil
}

// TestRestartDuringManyChanges stops an agent during many changes and starts another agent. It
// checks that both agents publish few trees and that the last tree is correct.
func TestRestartDuringManyChanges(t *testing.T) {
	const changes = 200
	c := newCluster(t)
	dir := t.TempDir()
	a := start(t, server.Config(), "many", dir)
	c.pod(t, "db", "many", "10.7.0.2")
	c.policyFor(t, "db", from("web"))
	a.wantVerdict(t, "10.7.0.3", "10.7.0.2", rule.Deny)
	guest := c.pod(t, "guest", "elsewhere", "10.7.0.3")
	before := a.generation(t)
	flip := func(n int) {
		for i := range n {
			guest.Labels["app"] = []string{"web", "guest"}[i%2]
			c.must(t, c.Update(t.Context(), guest))
		}
	}
	flip(changes / 2)
	a.stop()
	middle := a.generation(t)
	flip(changes/2 - 1)
	a = start(t, server.Config(), "many", dir)
	eventually.NoError(t, func() error { return a.ready("published") })
	a.wantVerdict(t, "10.7.0.3", "10.7.0.2", rule.Allow)
	flip(2)
	a.wantVerdict(t, "10.7.0.3", "10.7.0.2", rule.Deny)
	flip(1)
	a.wantVerdict(t, "10.7.0.3", "10.7.0.2", rule.Allow)
	after := a.generation(t)
	if after <= middle || middle < before {
		t.Errorf("generations %d, %d when the agent stopped, %d at the end: want them to increase", before, middle, after)
	}
	if n := after - before; n > changes {
		t.Errorf("%d publications for %d changes", n, changes)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "tree"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > 4 {
		t.Errorf("%d files in the tree's directory, want the agents' lock, current, its tree and the previous tree", len(entries))
	}
}

// TestChangesAreBatched checks that the agent publishes few trees for many simultaneous
// changes.
func TestChangesAreBatched(t *testing.T) {
	const changes = 200
	c := newCluster(t)
	a := start(t, server.Config(), "quick", t.TempDir())
	c.pod(t, "db", "quick", "10.8.0.2")
	c.policyFor(t, "db", from("web"))
	a.wantVerdict(t, "10.8.1.1", "10.8.0.2", rule.Deny)
	before := a.generation(t)
	var group sync.WaitGroup
	for i := range changes {
		group.Go(func() {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: fmt.Sprintf("web-%d", i), Labels: map[string]string{"app": "web"}},
				Spec:       corev1.PodSpec{NodeName: "elsewhere", Containers: []corev1.Container{{Name: "main", Image: "main"}}},
			}
			address := fmt.Sprintf("10.8.1.%d", i)
			if err := c.Create(t.Context(), pod); err != nil {
				t.Error(err)
				return
			}
			pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}}}
			if err := c.Status().Update(t.Context(), pod); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i := range changes {
		a.wantVerdict(t, fmt.Sprintf("10.8.1.%d", i), "10.8.0.2", rule.Allow)
	}
	if n := a.generation(t) - before; n > changes/2 {
		t.Errorf("%d publications for %d changes", n, changes)
	} else {
		t.Logf("%d publications for %d changes", n, changes)
	}
	c.must(t, c.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace(c.namespace), client.MatchingLabels{"app": "web"}, now))
	for i := range changes {
		a.wantVerdict(t, fmt.Sprintf("10.8.1.%d", i), "10.8.0.2", rule.Deny)
	}
}

// TestNodeEnforcerBeforeTree checks that an agent does not publish a tree or become ready until its
// NodeEnforcer exists. If the agent published the tree first and then died, the node would have
// rules that the operator never removes.
func TestNodeEnforcerBeforeTree(t *testing.T) {
	c := newCluster(t)
	c.must(t, c.Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "unregistered"}}))
	var attempts atomic.Int64
	var allowed atomic.Bool
	config := server.Config()
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/nodeenforcers") && !allowed.Load() {
				attempts.Add(1)
				return nil, errors.New("no connection")
			}
			return next.RoundTrip(r)
		})
	})
	dir := t.TempDir()
	a := start(t, config, "unregistered", dir)
	eventually.NoError(t, func() error {
		if err := a.ready("api-server"); err != nil || attempts.Load() < 2 {
			return fmt.Errorf("%d attempts, %w", attempts.Load(), err)
		}
		return nil
	})
	if got, err := statedir.Published(dir); got != 0 || err != nil {
		t.Errorf("generation %d is published without a NodeEnforcer, %v", got, err)
	}
	if err := a.ready("published"); err == nil {
		t.Error("the agent is ready without a NodeEnforcer")
	}
	allowed.Store(true)
	eventually.NoError(t, func() error { return a.ready("published") })
}
