package netpol_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/live"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/query/diff"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/stage"
)

// randomSpecs are the specs of the policies that TestPreviewOfCuts applies.
var randomSpecs = []string{
	`{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {pod: b}}}], ports: [{port: 80}]}]}`,
	`{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`,
	`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {ns: y}}}]}, {ports: [{port: 81}]}]}`,
	`{podSelector: {matchLabels: {pod: c}}, policyTypes: [Ingress, Egress]}`,
	`{podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [a]}]}, ingress: [{ports: [{port: serve-81-tcp}]}, {from: [{ipBlock: {cidr: "$ip4(x/a)/32"}}]}]}`,
	`{podSelector: {matchLabels: {pod: b}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: "::/0"}}]}]}`,
	`{podSelector: {}, ingress: [{}], policyTypes: [Ingress]}`,
}

// TestPreviewOfCuts applies 20 random changes of policies while connections between all pods are
// open. Before each change, it determines which connections the change would cut. After the change,
// exactly these connections are cut.
func TestPreviewOfCuts(t *testing.T) {
	const changes = 20
	s := newFixture(t, theCluster)
	s.holds("*/* -> */* allowed")
	random := rand.New(rand.NewPCG(14, 0))
	open := map[string]net.Conn{}
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	kept, cut := 0, 0
	for range changes {
		openConnections(s, open)
		object, deleted := randomChange(s, random)
		want := s.preview(object, deleted)
		s.applyChange(object, deleted)
		s.must(s.cluster.WaitEnforced(t.Context()))
		for name, alive := range exchange(open) {
			if alive == want[name] {
				t.Errorf("%s: alive after the change: %t, to be cut: %t; change: %+v, deleted: %v", name, alive, want[name], object, deleted)
			}
			if alive {
				kept++
				continue
			}
			cut++
			_ = open[name].Close()
			delete(open, name)
		}
		for name := range want {
			if strings.HasPrefix(name, "TCP") && open[name] != nil {
				t.Errorf("%s was to be cut", name)
			}
		}
	}
	t.Logf("%d connections were cut, and %d survived", cut, kept)
	if cut < changes || kept < changes {
		t.Errorf("%d connections were cut, and %d survived: too few", cut, kept)
	}
}

// openConnections opens the missing TCP connections between all pods that the policies allow.
func openConnections(s *fixture, open map[string]net.Conn) {
	s.Helper()
	have := map[string]bool{}
	for name := range open {
		have[pairOf(name)] = true
	}
	var mu sync.Mutex
	var opening sync.WaitGroup
	for _, from := range s.ends() {
		for _, to := range s.ends() {
			for i, src := range from.Addresses {
				dst := netip.AddrPortFrom(to.Addresses[i], tcp80.Port)
				if from.Name == to.Name || have[fmt.Sprintf("%s %s", src, dst)] {
					continue
				}
				opening.Go(func() {
					ctx, cancel := context.WithTimeout(s.Context(), probeTime)
					defer cancel()
					c, err := from.Host.Dial(ctx, flow.TCP, src, dst)
					if err != nil {
						return // The policies deny the connection.
					}
					_ = c.SetDeadline(time.Now().Add(probeTime))
					if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
						_ = c.Close()
						return
					}
					mu.Lock()
					defer mu.Unlock()
					open[fmt.Sprintf("TCP %s -> %s", c.LocalAddr(), c.RemoteAddr())] = c
				})
			}
		}
	}
	opening.Wait()
}

// pairOf returns the source address and the destination of a connection.
func pairOf(name string) string {
	ends := strings.Split(strings.TrimPrefix(name, "TCP "), " -> ")
	return netip.MustParseAddrPort(ends[0]).Addr().String() + " " + ends[1]
}

// exchange sends a request over each connection, and reports which of them still work.
func exchange(open map[string]net.Conn) map[string]bool {
	out := map[string]bool{}
	var mu sync.Mutex
	var running sync.WaitGroup
	for name, c := range open {
		running.Go(func() {
			const wait = 2 * time.Second
			_ = c.SetDeadline(time.Now().Add(wait))
			err := lab.Download(c, 1)
			mu.Lock()
			defer mu.Unlock()
			out[name] = err == nil
		})
	}
	running.Wait()
	return out
}

// randomChange returns a policy to apply, or the name of a policy to delete.
func randomChange(s *fixture, random *rand.Rand) (object *networkingv1.NetworkPolicy, deleted []string) {
	s.Helper()
	var held networkingv1.NetworkPolicyList
	s.must(s.cluster.Client().List(s.Context(), &held))
	held.Items = slices.DeleteFunc(held.Items, func(p networkingv1.NetworkPolicy) bool {
		return !strings.HasSuffix(p.Namespace, fmt.Sprintf("-%d", s.number))
	})
	if len(held.Items) > 3 || len(held.Items) > 0 && random.IntN(3) == 0 {
		p := &held.Items[random.IntN(len(held.Items))]
		return nil, []string{p.Namespace + "/" + p.Name}
	}
	path := s.namespace(namespaceNames[random.IntN(3)]) + fmt.Sprintf("/policy-%d", random.IntN(2))
	return stage.Policy(s.T, path, s.fill(randomSpecs[random.IntN(len(randomSpecs))])), nil
}

// applyChange applies the object of a draft, or deletes a policy.
func (s *fixture) applyChange(object *networkingv1.NetworkPolicy, deleted []string) {
	s.Helper()
	for _, path := range deleted {
		namespace, name, _ := strings.Cut(path, "/")
		s.must(s.cluster.Client().Delete(s.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}))
	}
	if object == nil {
		return
	}
	held := &networkingv1.NetworkPolicy{}
	err := s.cluster.Client().Get(s.Context(), client.ObjectKeyFromObject(object), held)
	s.must(client.IgnoreNotFound(err))
	if err != nil {
		s.must(s.cluster.Client().Create(s.Context(), object))
		return
	}
	held.Spec = object.Spec
	s.must(s.cluster.Client().Update(s.Context(), held))
}

// preview returns the connections that a change would cut, according to all nodes.
func (s *fixture) preview(object *networkingv1.NetworkPolicy, deleted []string) map[string]bool {
	s.Helper()
	draft := &inventory.Set{}
	if object != nil {
		p, errs := read.NetworkPolicy(object)
		if len(errs) > 0 {
			s.Fatal(errs)
		}
		draft.Policies = []inventory.Policy{{Policy: p}}
	}
	connection, err := live.Connect(live.Options{Kubeconfig: s.cluster.Kubeconfig()})
	s.must(err)
	base, err := connection.Read(s.Context())
	s.must(err)
	nodes, err := diff.NewNodes(base, draft, deleted)
	s.must(err)
	defer func() { s.must(nodes.Close()) }()
	out := map[string]bool{}
	for _, node := range s.cluster.Nodes() {
		for _, c := range s.connectionsOf(node.StateDir()) {
			_, cut, err := nodes.Connection(node.Name(), c)
			s.must(err)
			if cut {
				out[fmt.Sprintf("%s %s -> %s", c.Protocol, netip.AddrPortFrom(c.Src, c.SrcPort), netip.AddrPortFrom(c.Dst, c.DstPort))] = true
			}
		}
	}
	return out
}

// connectionsOf returns the open connections that a dataplane reports.
func (s *fixture) connectionsOf(stateDir string) (out []*report.Connection) {
	s.Helper()
	response, err := (&http.Client{Transport: status.Transport(stateDir)}).Get("http://dataplane/connections")
	s.must(err)
	defer response.Body.Close()
	lines := json.NewDecoder(response.Body)
	for {
		next := &report.Connection{}
		s.must(lines.Decode(next))
		if !next.Src.IsValid() {
			return out
		}
		out = append(out, next)
	}
}
