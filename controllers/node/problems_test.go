package node_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/transport"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/eventually"
)

// TestOneEventForEachGenerationWithProblems runs two agents and restarts one of them. It
// checks that together they write one Event for each generation of a policy with a problem.
func TestOneEventForEachGenerationWithProblems(t *testing.T) {
	c := newCluster(t)
	dir := t.TempDir()
	// The test needs a policy that current versions of Kubernetes reject and early versions
	// accepted.
	config := server.Config()
	config.Wrap(replacing("203.0.113.0/24", "203.0.113.0/99"))
	// This policy exists before the agents start.
	np := c.policyFor(t, "db", fromBlock("203.0.113.0/24"))
	c.pod(t, "db", "problems-1", "10.4.0.2")
	c.pod(t, "db-2", "problems-2", "10.4.0.3")
	first := start(t, config, "problems-1", dir)
	second := start(t, config, "problems-2", t.TempDir())

	c.policyFor(t, "db-2")
	// The agent reconciled the earlier policy before the later policy, so both have been reconciled
	// once the later policy is enforced.
	second.wantVerdict(t, "192.0.2.1", "10.4.0.3", rule.Deny)
	first.wantVerdict(t, "192.0.2.1", "10.4.0.2", rule.Deny)
	c.wantEvents(t, np, 1)

	first.stop()
	first = start(t, config, "problems-1", dir)
	eventually.NoError(t, func() error { return first.ready("published") })
	np.Labels = map[string]string{"changed": "metadata"}
	c.must(t, c.Update(t.Context(), np))
	np.Spec.Ingress = append(np.Spec.Ingress, from("web"))
	c.must(t, c.Update(t.Context(), np))
	c.wantEvents(t, np, 2)

	// A generation without a problem causes no Event, and earlier Events remain.
	np.Spec.Ingress = nil
	c.must(t, c.Update(t.Context(), np))
	np.Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{fromBlock("203.0.113.0/24")}
	c.must(t, c.Update(t.Context(), np))
	c.wantEvents(t, np, 3)
}

// TestEventsDoNotDelayPolicies checks that policies are enforced even while the API server
// does not respond to a request to create an Event.
func TestEventsDoNotDelayPolicies(t *testing.T) {
	c := newCluster(t)
	config := server.Config()
	config.Wrap(replacing("203.0.113.0/24", "203.0.113.0/99"))
	requested, respond := make(chan struct{}, 100), make(chan struct{})
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if request.Method == http.MethodPost && strings.HasSuffix(request.URL.Path, "/events") {
				requested <- struct{}{}
				select {
				case <-respond:
				case <-request.Context().Done():
				}
			}
			return next.RoundTrip(request)
		})
	})
	a := start(t, config, "held-up", t.TempDir())
	c.pod(t, "web", "held-up", "10.4.2.2")
	np := c.policyFor(t, "db", fromBlock("203.0.113.0/24"))
	select {
	case <-requested:
	case <-time.After(time.Minute):
		t.Fatal("no Event within a minute")
	}
	c.policyFor(t, "web")
	a.wantVerdict(t, "192.0.2.1", "10.4.2.2", rule.Deny)
	close(respond)
	c.wantEvents(t, np, 1)
}

// wantEvents waits until the namespace contains the given number of Events and all of them
// are about one policy.
func (c *cluster) wantEvents(t *testing.T, np *networkingv1.NetworkPolicy, want int) {
	t.Helper()
	eventually.NoError(t, func() error {
		var events eventsv1.EventList
		if err := c.List(t.Context(), &events, client.InNamespace(c.namespace)); err != nil {
			return err
		}
		if len(events.Items) > want {
			t.Fatalf("%d Events, want %d: %v", len(events.Items), want, events.Items)
		}
		if len(events.Items) < want {
			return fmt.Errorf("%d Events, want %d: %v", len(events.Items), want, events.Items)
		}
		for i := range events.Items {
			e := &events.Items[i]
			if e.Regarding.Name != np.Name || e.Regarding.UID != np.UID || e.Type != corev1.EventTypeWarning ||
				!strings.HasPrefix(e.Note, "spec.ingress[0].from[0].ipBlock.cidr: ") {
				t.Errorf("Event %+v: want one about policy %s that names the field", e, np.Name)
			}
		}
		return nil
	})
}

func fromBlock(cidr string) networkingv1.NetworkPolicyIngressRule {
	return networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: cidr}}}}
}

// TestUnreadablePartOfPod checks that the agent reports a part of a pod that it cannot
// read, and applies the other parts and other objects.
func TestUnreadablePartOfPod(t *testing.T) {
	c := newCluster(t)
	config := server.Config()
	config.Wrap(replacing("fd00:4:ffff::1", "fd00:4:nope::1"))
	a := start(t, config, "unreadable", t.TempDir())
	c.policyFor(t, "db")
	c.policyFor(t, "web")
	db := c.pod(t, "db", "unreadable", "10.4.1.2")
	db.Status.PodIPs = append(db.Status.PodIPs, corev1.PodIP{IP: "fd00:4:ffff::1"})
	c.must(t, c.Status().Update(t.Context(), db))
	eventually.NoError(t, func() error {
		if n := a.metric(t, "sluice_agent_unreadable_objects", "Pod"); n != 1 {
			return fmt.Errorf("%v unreadable pods, want 1", n)
		}
		return nil
	})
	c.pod(t, "web", "unreadable", "10.4.1.3")
	a.wantVerdict(t, "192.0.2.1", "10.4.1.3", rule.Deny)
	a.wantVerdict(t, "192.0.2.1", "10.4.1.2", rule.Deny)
	c.must(t, c.Delete(t.Context(), db, now))
	a.wantVerdict(t, "192.0.2.1", "10.4.1.2", rule.Allow)
	if n := a.metric(t, "sluice_agent_unreadable_objects", "Pod"); n != 0 {
		t.Errorf("%v unreadable pods after the deletion, want 0", n)
	}
}

// replacing returns a transport that replaces a text in all responses with another
// text of the same length.
func replacing(old, text string) transport.WrapperFunc {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if err == nil {
				response.Body = &replacingBody{ReadCloser: response.Body, old: []byte(old), text: []byte(text), buffer: make([]byte, 1<<20)}
			}
			return response, err
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

type replacingBody struct {
	io.ReadCloser
	old, text, buffer, rest []byte
}

func (b *replacingBody) Read(p []byte) (int, error) {
	var err error
	if len(b.rest) == 0 {
		var n int
		n, err = b.ReadCloser.Read(b.buffer)
		b.rest = bytes.ReplaceAll(b.buffer[:n], b.old, b.text)
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	if len(b.rest) > 0 {
		// Ignore the error here, because the next read returns it again.
		err = nil
	}
	return n, err
}
