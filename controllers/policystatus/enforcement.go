package policystatus

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/message"
)

// enforcement records which nodes need which policies, and what each node enforces. A node
// needs a policy if the policy selects a pod with an address on the node. An agent writes its
// status when the status changes. The method update compares each status with the versions
// that policies wait for, and returns only the policies whose result changed.
type enforcement struct {
	mu    sync.Mutex
	nodes map[string]*nodeState
	// needed maps each policy to the sorted names of the nodes that need the policy.
	needed map[types.NamespacedName][]string
}

// nodeState contains what a node enforces and what the node must enforce.
type nodeState struct {
	// enforcer is the newest NodeEnforcer, or nil if there is none.
	enforcer *v1alpha1.NodeEnforcer
	// problem describes why the node does not enforce policies, or why it is unknown whether
	// the node enforces policies. It is "" if the node enforces policies.
	problem string
	// contained contains the newest versions that the node has ever acknowledged. A restarted
	// agent reports no versions for a short time, but the node still enforces everything that
	// it enforced before.
	contained versions
	// needs contains the policies that the node must enforce, with the resource versions
	// that the node must contain.
	needs map[types.NamespacedName]versions
	// behind contains each policy in needs for which the node does not contain the required
	// versions yet.
	behind map[types.NamespacedName]versions
}

// affected lists policies to reconcile. The policies in enforced are enforced by all nodes that
// need them, and are reconciled at once. The policies in lagging are not, and are reconciled
// after a delay.
type affected struct{ enforced, lagging []types.NamespacedName }

func newEnforcement() *enforcement {
	return &enforcement{nodes: map[string]*nodeState{}, needed: map[types.NamespacedName][]string{}}
}

// lag describes a node that needs a policy but is not known to enforce the current version
// of the policy.
type lag struct {
	node string
	// problem describes why it is unknown whether the node enforces policies at all. It is ""
	// if the node enforces policies but not the current version of this policy.
	problem string
}

// require sets the versions that each node must contain to enforce a policy. It returns the
// nodes that do not contain these versions yet and the nodes with another problem, sorted by
// name.
func (e *enforcement) require(policy types.NamespacedName, required map[string]versions) []lag {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range e.needed[policy] {
		if _, ok := required[name]; !ok {
			e.release(name, policy)
		}
	}
	if len(required) == 0 {
		delete(e.needed, policy)
		return nil
	}
	names := make([]string, 0, len(required))
	for name := range required {
		names = append(names, name)
	}
	slices.Sort(names)
	e.needed[policy] = names
	var out []lag
	for _, name := range names {
		n := e.node(name)
		n.needs[policy] = required[name]
		behind := !n.contained.contain(required[name])
		if behind {
			n.behind[policy] = required[name]
		} else {
			delete(n.behind, policy)
		}
		if behind || n.problem != "" {
			out = append(out, lag{node: name, problem: n.problem})
		}
	}
	return out
}

// release records that a node no longer needs a policy.
func (e *enforcement) release(name string, policy types.NamespacedName) {
	n := e.nodes[name]
	delete(n.needs, policy)
	delete(n.behind, policy)
	if n.enforcer == nil && len(n.needs) == 0 {
		delete(e.nodes, name)
	}
}

// node returns the state of a node. It creates an empty state for a new node.
func (e *enforcement) node(name string) *nodeState {
	n := e.nodes[name]
	if n == nil {
		n = &nodeState{
			problem: noReport(),
			needs:   map[types.NamespacedName]versions{},
			behind:  map[types.NamespacedName]versions{},
		}
		e.nodes[name] = n
	}
	return n
}

// noReport returns the problem text for a node without a NodeEnforcer.
func noReport() string { return new(v1alpha1.NodeEnforcer).NotEnforcing() }

// update records the newest status of a node. It returns the policies to reconcile.
func (e *enforcement) update(enforcer *v1alpha1.NodeEnforcer) affected {
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
	for policy, required := range n.behind {
		if n.contained.contain(required) {
			delete(n.behind, policy)
			touched = append(touched, policy)
		}
	}
	if n.setProblem(enforcer.NotEnforcing()) {
		touched = keys(n.needs)
	}
	return e.affected(touched)
}

// remove records that the NodeEnforcer of a node was deleted. It returns the policies to
// reconcile.
func (e *enforcement) remove(name string) affected {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.node(name)
	n.enforcer, n.contained = nil, versions{}
	if len(n.needs) == 0 {
		delete(e.nodes, name)
		return affected{}
	}
	for policy, required := range n.needs {
		n.behind[policy] = required
	}
	n.setProblem(noReport())
	return e.affected(keys(n.needs))
}

// setProblem sets the problem of the node and reports whether the problem changed.
func (n *nodeState) setProblem(problem string) bool {
	if n.problem == problem {
		return false
	}
	n.problem = problem
	return true
}

// affected divides policies into enforced and lagging policies. A policy is enforced if each
// node that needs the policy enforces it.
func (e *enforcement) affected(touched []types.NamespacedName) affected {
	var out affected
	for _, policy := range touched {
		if slices.ContainsFunc(e.needed[policy], func(name string) bool {
			n := e.nodes[name]
			_, behind := n.behind[policy]
			return behind || n.problem != ""
		}) {
			out.lagging = append(out.lagging, policy)
		} else {
			out.enforced = append(out.enforced, policy)
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

// nodeNames returns a text with the names of the first few nodes in a list.
func nodeNames(lags []lag) string {
	names := make([]string, 0, len(lags))
	for _, l := range lags {
		names = append(names, l.node)
	}
	if len(names) == 1 {
		return "node " + names[0]
	}
	return "nodes " + message.Join(names, ", ")
}
