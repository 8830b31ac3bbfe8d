// Package generation defines the form of a compiled tree that the packet path uses. A generation is
// reference-counted, because several goroutines use it and it must not be closed before the last
// of them has finished.
package generation

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

// Generation is a compiled tree in the form that the packet path uses.
type Generation struct {
	// Number is the generation number. It increases with each published tree.
	Number uint64
	// Node, Pods and IsolatedPods are reported in the status.
	Node               string
	Pods, IsolatedPods int

	Evaluator rule.Evaluator
	// Names contains the names of all pods of the node, by address.
	Names map[netip.Addr]string
	// Isolated contains the addresses of isolated pods. Packets from and to these
	// addresses are queued.
	Isolated ruleset.Addresses
	// LinkLocal contains the addresses of the pods that are allowed to send any packet from
	// their link-local addresses.
	LinkLocal []netip.Addr
	// Close is called when no worker and no walk uses this generation any longer. It may be
	// nil.
	Close func() error
}

// WithoutTree returns the generation before the first tree. It contains no pods.
func WithoutTree() Generation { return Generation{Evaluator: noTree{}} }

// noTree evaluates flows before the first tree.
type noTree struct{}

// Evaluate implements rule.Evaluator. It treats the source and the destination as hosts
// outside the node.
func (noTree) Evaluate(flow.Flow) rule.Decision {
	outside := rule.Side{Verdict: rule.Allow, Reason: rule.External}
	return rule.Decision{Egress: outside, Ingress: outside}
}

// Of returns a generation for a tree. Closing the generation closes the tree.
func Of(t *tree.Tree) Generation {
	g := Generation{Number: t.Generation(), Node: t.Node(), Evaluator: t, Close: t.Close, Names: map[netip.Addr]string{}}
	for pod := range t.Pods() {
		g.Pods++
		for _, a := range pod.Addresses {
			g.Names[a] = pod.Name
		}
		if pod.DeniesEgress || pod.DeniesIngress {
			g.IsolatedPods++
		}
		if pod.DeniesEgress {
			g.Isolated.Egress = append(g.Isolated.Egress, pod.Addresses...)
		}
		if !pod.DeniesEgress || mayUseLink(t, pod.Addresses) {
			g.LinkLocal = append(g.LinkLocal, pod.Addresses...)
		}
		if pod.DeniesIngress {
			g.Isolated.Ingress = append(g.Isolated.Ingress, pod.Addresses...)
		}
	}
	return g
}

// mayUseLink reports whether the policies allow an egress-isolated pod to send packets of every
// protocol to the node's end of the pod's link.
func mayUseLink(t *tree.Tree, addresses []netip.Addr) bool {
	// Protocol 253 is reserved for experiments (RFC 3692). A rule with ports never matches
	// this protocol, so only a rule for all ports and protocols allows a flow with this
	// protocol.
	const experimental = 253
	end := netip.MustParseAddr("fe80::1")
	i := slices.IndexFunc(addresses, netip.Addr.Is6)
	if i < 0 {
		// The pod has only IPv4 addresses, so evaluate a flow to an IPv4 link-local address
		// instead of fe80::1.
		i, end = 0, netip.MustParseAddr("169.254.1.1")
	}
	return len(addresses) > 0 &&
		t.Evaluate(flow.Flow{Src: addresses[i], Dst: end, Protocol: experimental}).Egress.Verdict == rule.Allow
}

// Shared is a reference-counted generation. The workers hold one reference, and each walk
// through the open connections holds a further reference. When the last reference is released,
// the generation is closed.
type Shared struct {
	Generation
	log        logr.Logger
	references atomic.Int32
}

// Share returns a shared generation with a reference count of 1.
func Share(g Generation, log logr.Logger) *Shared {
	s := &Shared{Generation: g, log: log}
	s.references.Store(1)
	return s
}

// Acquire adds a reference. The caller must already hold a reference.
func (s *Shared) Acquire() *Shared {
	s.references.Add(1)
	return s
}

// Release removes a reference. If s is nil, Release does nothing.
func (s *Shared) Release() {
	if s == nil || s.references.Add(-1) > 0 || s.Close == nil {
		return
	}
	if err := s.Close(); err != nil {
		s.log.Error(err, "closing a tree that is no longer used", "generation", s.Number)
	}
}
