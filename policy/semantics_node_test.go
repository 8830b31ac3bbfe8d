package policy_test

import (
	"os"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/compile"
	"github.com/sluicenet/sluice/test/reference"
)

// nodeUnderTest is one node of a clusterUnderTest. It contains the compiler, the published
// file, and the tree that the dataplane of the node would map.
type nodeUnderTest struct {
	name     string
	dirs     *stateDirs
	state    *stateDir
	compiler *compile.Compiler
	builder  *build.Builder
	tree     *tree.Tree
}

// stateDirs is a pool of state directories. Tests reuse these directories, because creating a
// directory takes longer than evaluating all flows of a test.
type stateDirs struct {
	root string
	free []*stateDir
}

type stateDir struct {
	path string
	*statedir.Publisher
}

// newStateDirs creates the pool. If the machine has a tmpfs, the directories are in the
// tmpfs.
func newStateDirs(t testing.TB) *stateDirs {
	t.Helper()
	root, err := os.MkdirTemp("/dev/shm", "sluice-semantics-*")
	if err != nil {
		return &stateDirs{root: t.TempDir()}
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	return &stateDirs{root: root}
}

func (d *stateDirs) take(t tester) *stateDir {
	t.Helper()
	if last := len(d.free) - 1; last >= 0 {
		state := d.free[last]
		d.free = d.free[:last]
		return state
	}
	path, err := os.MkdirTemp(d.root, "node-*")
	if err != nil {
		t.Fatalf("creating a state directory: %v", err)
	}
	publisher, err := statedir.NewPublisher(path)
	if err != nil {
		t.Fatalf("opening a state directory: %v", err)
	}
	return &stateDir{path, publisher}
}

func newNodeUnderTest(t tester, dirs *stateDirs, name string, s *policy.Snapshot) *nodeUnderTest {
	t.Helper()
	return &nodeUnderTest{name: name, dirs: dirs, state: dirs.take(t), compiler: compile.New(s, name), builder: build.New(name)}
}

// publish updates the tree from the snapshot. Like the agent, it writes the tree to a file.
func (n *nodeUnderTest) publish(t tester) {
	t.Helper()
	if err := n.builder.Apply(n.compiler.Delta()); err != nil {
		t.Fatalf("node %q: applying the delta: %v", n.name, err)
	}
	generation, err := n.state.Publish(n.builder)
	if err != nil {
		t.Fatalf("node %q: publishing: %v", n.name, err)
	}
	opened, err := tree.Open(statedir.Current(n.state.path))
	if err != nil {
		t.Fatalf("node %q: opening: %v", n.name, err)
	}
	if opened.Generation() != generation || opened.Node() != n.name {
		t.Fatalf("node %q: opened generation %d of node %q, published generation %d", n.name, opened.Generation(), opened.Node(), generation)
	}
	n.closeTree()
	n.tree = opened
}

func (n *nodeUnderTest) closeTree() {
	if n.tree != nil {
		n.tree.Close()
	}
}

func (n *nodeUnderTest) close() {
	n.compiler.Close()
	n.closeTree()
	n.dirs.free = append(n.dirs.free, n.state)
}

func (n *nodeUnderTest) evaluate(f flow.Flow) (egress, ingress side) {
	d := n.tree.Evaluate(f)
	return n.side(d.Egress), n.side(d.Ingress)
}

func (n *nodeUnderTest) side(s rule.Side) side {
	out := side{Verdict: s.Verdict, Reason: s.Reason, IsolatedBy: n.tree.IsolatedBy(s)}
	source, ok := n.tree.Rule(s)
	if ok != (s.Reason == rule.Matched) {
		out.Reason = rule.NoReason // No expected side has this reason, so the test fails.
		return out
	}
	if ok {
		out.Tier, out.Action, out.Rules = source.Tier, source.Action, []reference.RuleRef{refOf(source)}
	} else if s.Reason == rule.NoRuleMatched {
		out.Tier = rule.NetworkPolicyTier
	}
	for _, pass := range n.tree.Passed(s) {
		if pass.Action != rule.ActionPass {
			out.Reason = rule.NoReason
		}
		out.Passes = append(out.Passes, reference.PassRef{Tier: pass.Tier, RuleRef: refOf(pass)})
	}
	return out
}

func refOf(source rule.Source) reference.RuleRef {
	return reference.RuleRef{Policy: source.Policy, Index: source.Index}
}
