package diff

import (
	"fmt"
	"net/netip"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/compile"
	"github.com/sluicenet/sluice/query/internal/compiled"
	"github.com/sluicenet/sluice/query/internal/ruletext"
)

// state is the cluster before or after the change. It is compiled into a single tree, as if all
// pods ran on the same node.
type state struct {
	policies map[string]*policy.Policy
	cohorts  map[string]*policy.Cohort // by the name of a pod
	snapshot *policy.Snapshot
	tree     *tree.Tree
	pods     map[rule.PodID]*rule.Pod
	owners   map[netip.Addr]rule.Owner
	programs map[rule.ProgramID]*rule.Program
}

// newState compiles the objects of a set. The caller must call close.
func newState(in *inventory.Set) (*state, error) {
	s := &state{
		cohorts: map[string]*policy.Cohort{}, snapshot: policy.NewSnapshot(),
		pods: map[rule.PodID]*rule.Pod{}, owners: map[netip.Addr]rule.Owner{}, programs: map[rule.ProgramID]*rule.Program{},
	}
	s.snapshot.Load(objectsOf(in))
	s.policies = ruletext.Of(s.snapshot).Policies
	for _, ns := range s.snapshot.TrackedNamespaces() {
		for _, cohort := range ns.Cohorts() {
			for _, p := range cohort.Pods() {
				s.cohorts[p.Pod.String()] = cohort
			}
		}
	}
	if err := s.compile(); err != nil {
		return nil, fmt.Errorf("compiling the policies: %w", err)
	}
	return s, nil
}

// objectsOf returns the objects of a set. All pods are bound to the same node, the node "", which
// has no addresses.
func objectsOf(in *inventory.Set) (out policy.Objects) {
	for i := range in.Namespaces {
		out.Namespaces = append(out.Namespaces, in.Namespaces[i].Namespace)
	}
	for i := range in.Nodes {
		out.Nodes = append(out.Nodes, in.Nodes[i].Node)
	}
	for i := range in.Policies {
		out.Policies = append(out.Policies, in.Policies[i].Policy)
	}
	for i := range in.Pods {
		p := in.Pods[i].Pod
		p.Node, p.HostAddresses = "", nil
		out.Pods = append(out.Pods, &p)
	}
	return out
}

func (s *state) compile() error {
	compiler := compile.New(s.snapshot, "")
	defer compiler.Close()
	delta := compiler.Delta()
	for _, c := range delta.Pods {
		s.pods[c.ID] = c.Pod
	}
	for _, c := range delta.Programs {
		s.programs[c.ID] = c.Program
	}
	for _, c := range delta.Addresses {
		s.owners[c.Addr] = c.Owner
	}
	builder := build.New("")
	if err := builder.Apply(delta); err != nil {
		return err
	}
	var err error
	s.tree, err = compiled.Encoded(builder)
	return err
}

func (s *state) close() error { return s.tree.Close() }

// programsOf returns the programs of the pod with an address for a direction, by tier.
func (s *state) programsOf(a netip.Addr, d rule.Direction) (out [rule.Tiers]rule.ProgramID) {
	for t := range out {
		out[t] = s.pods[s.owners[a].Pod].Program(d, rule.Tier(t))
	}
	return out
}

// selects reports whether any of the policies affects a pod in a direction.
func (s *state) selects(pod string, d rule.Direction, policies []*policy.Policy) bool {
	for _, p := range policies {
		if p.Affects(d) && p.SelectsCohort(s.cohorts[pod]) {
			return true
		}
	}
	return false
}
