package engine

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/go-logr/logr"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/tree"
)

// Generation is one compiled tree, as the packet path needs it.
type Generation struct {
	// Number increases with each tree that is published.
	Number uint64
	// Node, Pods and IsolatedPods are for the status.
	Node               string
	Pods, IsolatedPods int

	Evaluator rule.Evaluator
	// Isolated has the addresses whose packets are queued.
	Isolated ruleset.Isolated
	// LinkLocal has the addresses of the pods whose packets from link-local
	// addresses are allowed.
	LinkLocal []netip.Addr
	// Close is called once no packet is evaluated by this generation any more. It
	// may be nil.
	Close func() error
}

// GenerationOf returns the generation of a tree. The generation owns the tree.
func GenerationOf(t *tree.Tree) Generation {
	g := Generation{Number: t.Generation(), Node: t.Node(), Evaluator: t, Close: t.Close}
	for pod := range t.Pods() {
		g.Pods++
		if pod.EgressIsolated || pod.IngressIsolated {
			g.IsolatedPods++
		}
		if pod.EgressIsolated {
			g.Isolated.Egress = append(g.Isolated.Egress, pod.Addresses...)
		}
		if !pod.EgressIsolated || mayUseLink(t, pod.Addresses) {
			g.LinkLocal = append(g.LinkLocal, pod.Addresses...)
		}
		if pod.IngressIsolated {
			g.Isolated.Ingress = append(g.Isolated.Ingress, pod.Addresses...)
		}
	}
	return g
}

// mayUseLink reports whether a pod that is isolated for egress may open
// connections of every kind to the other end of its link.
func mayUseLink(t *tree.Tree, addresses []netip.Addr) bool {
	// No policy can name this protocol with a port, so only a rule for all ports
	// allows it. 253 is reserved for experiments (RFC 3692).
	const experimental = 253
	end := netip.MustParseAddr("fe80::1")
	i := slices.IndexFunc(addresses, netip.Addr.Is6)
	if i < 0 {
		// The pod has no IPv6 address that policies could be evaluated for. What
		// they allow to an IPv4 link-local address stands in for it.
		i, end = 0, netip.MustParseAddr("169.254.1.1")
	}
	return len(addresses) > 0 &&
		t.Evaluate(flow.Flow{Src: addresses[i], Dst: end, Protocol: experimental}).Egress.Verdict == rule.Allow
}

// shared is a reference-counted generation. The workers hold one reference, and
// each walk over open connections holds one. The last release closes the
// generation.
type shared struct {
	Generation
	log        logr.Logger
	references atomic.Int32
}

// newShared returns a generation with one reference.
func newShared(g Generation, log logr.Logger) *shared {
	s := &shared{Generation: g, log: log}
	s.references.Store(1)
	return s
}

// acquire adds a reference. The caller must hold one already.
func (s *shared) acquire() *shared {
	s.references.Add(1)
	return s
}

// release removes a reference. It does nothing if s is nil.
func (s *shared) release() {
	if s == nil || s.references.Add(-1) > 0 || s.Close == nil {
		return
	}
	if err := s.Close(); err != nil {
		s.log.Error(err, "closing a tree that is no longer used", "generation", s.Number)
	}
}
