package bench_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	timo "github.com/ti-mo/conntrack"

	"github.com/sluicenet/sluice/dataplane/generation"
	"github.com/sluicenet/sluice/dataplane/ruleset"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/compile"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/lab"
)

// fixture is one node of a large cluster. The node has a tree and rules.
type fixture struct {
	b       *testing.B
	lab     *lab.Lab
	node    *lab.Node
	cluster *cluster.Realistic
	// snapshot, compiler and builder are the stages that produce the tree.
	snapshot *policy.Snapshot
	compiler *compile.Compiler
	builder  *build.Builder
	// state is the path of the state directory that contains the tree of the node.
	state string
	tree  *tree.Tree
	// generation contains the addresses of the isolated pods in the tree. The `install` method
	// writes these addresses to the rules.
	generation  generation.Generation
	config      ruleset.Config
	connections *timo.Conn
}

// These constants define the size of the cluster.
const (
	pods     = 10000
	policies = 1000
)

func newFixture(b *testing.B) *fixture {
	b.Helper()
	s := newNode(b)
	s.cluster = cluster.NewRealistic(1, cluster.Size{Pods: pods, Policies: policies})
	s.publish()
	return s
}

// newNode returns a node without a tree.
func newNode(b *testing.B) *fixture {
	b.Helper()
	s := &fixture{b: b}
	var err error
	if s.lab, err = lab.New(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.lab.Close)
	if s.node, err = s.lab.AddNode(cluster.LocalNode); err != nil {
		b.Fatal(err)
	}
	state, err := lab.NewStateDir()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = state.Close() })
	s.state = state.Path()
	s.config = ruleset.Config{Queues: 1, FailurePolicy: ruleset.FailClosed, Deny: ruleset.Drop}
	if s.config.Marks, err = ruleset.MarksOf(ruleset.DefaultMask); err != nil {
		b.Fatal(err)
	}
	s.inNode(func() error {
		kernel, err := ruleset.FindKernel()
		if err != nil {
			return err
		}
		s.config.Queueing = kernel.Queueing
		s.connections, err = timo.Dial(nil)
		return err
	})
	b.Cleanup(func() { _ = s.connections.Close() })
	return s
}

// publish compiles the policies of the cluster for the node and publishes the tree.
func (s *fixture) publish() {
	s.b.Helper()
	s.snapshot = policy.NewSnapshot()
	for namespace := range s.cluster.Namespaces() {
		s.snapshot.UpsertNamespace(policy.ReadNamespace(namespace))
	}
	for object := range s.cluster.Nodes() {
		node, errors := policy.ReadNode(object)
		if err := errors.Err(); err != nil {
			s.b.Fatal(err)
		}
		s.snapshot.UpsertNode(node)
	}
	for _, np := range s.cluster.Policies() {
		read, _ := read.NetworkPolicy(np)
		s.snapshot.UpsertPolicy(read)
	}
	for object := range s.cluster.Pods() {
		pod, errors := policy.ReadPod(object)
		if err := errors.Err(); err != nil {
			s.b.Fatal(err)
		}
		s.snapshot.UpsertPod(pod)
	}
	s.compiler = compile.New(s.snapshot, cluster.LocalNode)
	s.builder = build.New(cluster.LocalNode)
	if err := s.builder.Apply(s.compiler.Delta()); err != nil {
		s.b.Fatal(err)
	}
	publisher, err := statedir.NewPublisher(s.state)
	if err != nil {
		s.b.Fatal(err)
	}
	if _, err := publisher.Publish(s.builder); err != nil {
		s.b.Fatal(err)
	}
	if s.tree, err = statedir.OpenCurrent(s.state); err != nil {
		s.b.Fatal(err)
	}
	s.generation = generation.Of(s.tree)
	s.b.Cleanup(func() { _ = s.tree.Close() })
}

func (s *fixture) inNode(call func() error) {
	s.b.Helper()
	if err := s.node.Do(call); err != nil {
		s.b.Fatal(err)
	}
}

// install installs the rules for a single queue on the node.
func (s *fixture) install(queue uint16) {
	s.b.Helper()
	s.inNode(func() error {
		config := s.config
		config.QueueBase = queue
		t, err := ruleset.Open(config)
		if err != nil {
			return err
		}
		defer func() { _ = t.Close() }()
		return t.Install(s.generation.Isolated)
	})
}

// flushConnections deletes all connection tracking entries.
func (s *fixture) flushConnections() {
	s.b.Helper()
	if err := s.connections.Flush(); err != nil {
		s.b.Fatal(err)
	}
}

// swallow makes a host drop every IPv4 packet that it receives. The host sends no reply.
func (s *fixture) swallow(host *lab.Host) {
	s.b.Helper()
	err := host.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		t := c.AddTable(&nftables.Table{Name: "swallow", Family: nftables.TableFamilyIPv4})
		chain := c.AddChain(&nftables.Chain{
			Table: t, Name: "prerouting", Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw,
		})
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}})
		return c.Flush()
	})
	if err != nil {
		s.b.Fatal(err)
	}
}

// The method `settled` waits until the given queue contains no packets.
func (s *fixture) settled(queue uint16) {
	s.b.Helper()
	deadline := time.After(timeout)
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for {
		var text []byte
		s.inNode(func() (err error) {
			text, err = os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
			return err
		})
		for line := range strings.Lines(string(text)) {
			// The first three columns contain the queue number, the port ID, and the number of
			// packets in the queue.
			f := strings.Fields(line)
			if len(f) > 2 && f[0] == strconv.Itoa(int(queue)) && f[2] == "0" {
				return
			}
		}
		select {
		case <-again.C:
		case <-deadline:
			s.b.Fatalf("packets wait in queue %d after %s:\n%s", queue, timeout, text)
		}
	}
}
