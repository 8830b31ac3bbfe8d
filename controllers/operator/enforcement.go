package operator

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// enforcement knows which nodes need which policies, and how far the nodes are.
// A node's status is written every ten seconds; what it says is compared here
// with what policies wait for, and wakes only those that it settles.
type enforcement struct {
	mu    sync.Mutex
	nodes map[string]*nodeState
	// needed are the nodes that need a policy.
	needed map[types.NamespacedName][]string
}

// nodeState is how far a node is.
type nodeState struct {
	// enforcer is the last NodeEnforcer seen, nil if there is none.
	enforcer *v1alpha1.NodeEnforcer
	// trouble says why the node is not known to enforce, "" if it is.
	trouble string
	// contained is the newest that the node ever acknowledged. An agent that
	// starts anew says nothing for a moment; what is in force stays so.
	contained versions
	// needs are the policies that the node must enforce, and what it must contain
	// for that.
	needs map[types.NamespacedName]versions
	// waits are those that it did not contain when they were last looked at.
	waits map[types.NamespacedName]versions
}

// news are policies of which the status has to be looked at: those that no node
// keeps waiting any more at once, the others when there is time.
type news struct{ settled, moved []types.NamespacedName }

func newEnforcement() *enforcement {
	return &enforcement{nodes: map[string]*nodeState{}, needed: map[types.NamespacedName][]string{}}
}

// lag is a node that needs a policy and is not known to enforce it as it is.
type lag struct {
	node string
	// trouble says why the node enforces nothing for certain, "" if it is only behind.
	trouble string
}

// need says what each node has to contain so that a policy is enforced, and
// gives the nodes that do not, by name.
func (e *enforcement) need(policy types.NamespacedName, wants map[string]versions) []lag {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range e.needed[policy] {
		if _, ok := wants[name]; !ok {
			e.release(name, policy)
		}
	}
	if len(wants) == 0 {
		delete(e.needed, policy)
		return nil
	}
	names := make([]string, 0, len(wants))
	for name := range wants {
		names = append(names, name)
	}
	slices.Sort(names)
	e.needed[policy] = names
	var out []lag
	for _, name := range names {
		n := e.node(name)
		n.needs[policy] = wants[name]
		behind := !n.contained.contain(wants[name])
		if behind {
			n.waits[policy] = wants[name]
		} else {
			delete(n.waits, policy)
		}
		if behind || n.trouble != "" {
			out = append(out, lag{node: name, trouble: n.trouble})
		}
	}
	return out
}

// release says that a node does not need a policy any more.
func (e *enforcement) release(name string, policy types.NamespacedName) {
	n := e.nodes[name]
	delete(n.needs, policy)
	delete(n.waits, policy)
	if n.enforcer == nil && len(n.needs) == 0 {
		delete(e.nodes, name)
	}
}

func (e *enforcement) node(name string) *nodeState {
	n := e.nodes[name]
	if n == nil {
		n = &nodeState{
			trouble: noAgent,
			needs:   map[types.NamespacedName]versions{},
			waits:   map[types.NamespacedName]versions{},
		}
		e.nodes[name] = n
	}
	return n
}

// seen takes in what a node says.
func (e *enforcement) seen(enforcer *v1alpha1.NodeEnforcer, now time.Time) news {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.node(enforcer.Name)
	if n.enforcer != nil && n.enforcer.UID != enforcer.UID {
		n.contained = versions{}
	}
	n.enforcer = enforcer
	if a := enforcer.Status.Acknowledged; a != nil {
		n.contained = n.contained.newest(versions{policies: a.Contains.NetworkPolicies, pods: a.Contains.Pods})
	}
	var touched []types.NamespacedName
	for policy, want := range n.waits {
		if n.contained.contain(want) {
			delete(n.waits, policy)
			touched = append(touched, policy)
		}
	}
	if e.setTrouble(n, notEnforcing(enforcer, now)) {
		touched = keys(n.needs)
	}
	return e.news(touched)
}

// gone says that a node has no NodeEnforcer any more.
func (e *enforcement) gone(name string) news {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.node(name)
	n.enforcer, n.contained = nil, versions{}
	if len(n.needs) == 0 {
		delete(e.nodes, name)
		return news{}
	}
	for policy, want := range n.needs {
		n.waits[policy] = want
	}
	e.setTrouble(n, noAgent)
	return e.news(keys(n.needs))
}

// expire looks for nodes that have become silent.
func (e *enforcement) expire(now time.Time) news {
	e.mu.Lock()
	defer e.mu.Unlock()
	var touched []types.NamespacedName
	for _, n := range e.nodes {
		if n.enforcer != nil && e.setTrouble(n, notEnforcing(n.enforcer, now)) {
			touched = append(touched, keys(n.needs)...)
		}
	}
	return e.news(touched)
}

// setTrouble reports whether that is something new.
func (*enforcement) setTrouble(n *nodeState, trouble string) bool {
	if n.trouble == trouble {
		return false
	}
	n.trouble = trouble
	return true
}

// news sorts policies by whether a node keeps them waiting.
func (e *enforcement) news(touched []types.NamespacedName) news {
	var out news
	for _, policy := range touched {
		if slices.ContainsFunc(e.needed[policy], func(name string) bool {
			n := e.nodes[name]
			_, behind := n.waits[policy]
			return behind || n.trouble != ""
		}) {
			out.moved = append(out.moved, policy)
		} else {
			out.settled = append(out.settled, policy)
		}
	}
	return out
}

func keys(needs map[types.NamespacedName]versions) []types.NamespacedName {
	out := make([]types.NamespacedName, 0, len(needs))
	for policy := range needs {
		out = append(out, policy)
	}
	return out
}

// nodeNames joins the first few nodes of a list.
func nodeNames(lags []lag) string {
	names := make([]string, 0, len(lags))
	for _, l := range lags {
		names = append(names, l.node)
	}
	if len(names) == 1 {
		return "node " + names[0]
	}
	return "nodes " + few(names, ", ")
}
