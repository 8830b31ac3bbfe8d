package diff_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest"
	"github.com/sluicenet/sluice/query/diff"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/evaluation"
	"github.com/sluicenet/sluice/test/reference"
)

func read(t testing.TB, text string) *inventory.Set {
	t.Helper()
	if !strings.Contains(text, `"metadata"`) && !strings.Contains(text, "metadata:") {
		return &inventory.Set{}
	}
	set, err := manifest.Read([]string{manifest.Stdin}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestChangesAgreeWithTheReference changes random clusters. For random flows, a verdict of the
// reference evaluator differs before and after the change if and only if the difference contains it.
func TestChangesAgreeWithTheReference(t *testing.T) {
	const clusters, flowsEach = 60, 1000
	differing := 0
	for seed := range uint64(clusters) {
		random := cluster.NewTiered(cluster.Seeded(seed))
		for range 20 {
			random.Step()
		}
		before := random.Objects
		draft, deleted := change(random, seed%3 == 0)
		d, err := diff.Of(read(t, evaluation.Manifest(t, &before)), read(t, evaluation.Manifest(t, &draft)), deleted)
		if err != nil {
			t.Fatal(err)
		}
		check := newChecker(d, &before, &random.Objects)
		for i := range flowsEach {
			f := random.Flow(4 + i%2*2)
			want, compared := check.want(f)
			if !compared {
				continue
			}
			if want != "" {
				differing++
			}
			if got := check.got(f); got != want {
				t.Fatalf("seed %d: %s (%s -> %s): got %q, want %q\n%s\nbefore:\n%s\nchange: %v\n%s", seed, f, check.pods[f.Src], check.pods[f.Dst], got, want, text(t, d), &before, deleted, &draft)
			}
		}
	}
	if differing < 1000 {
		t.Errorf("only %d flows differ", differing)
	}
}

// change applies random changes to a cluster, and returns them as a draft and a list of deleted
// policies. If policies is true, only policies change.
func change(random *cluster.Random, policies bool) (draft cluster.Objects, deleted []string) {
	before := random.Objects
	for range 12 {
		kept := random.Objects
		changes := random.Step()
		if slices.ContainsFunc(changes, func(c cluster.Change) bool { return !canChange(c, &before, policies) }) {
			random.Objects = kept
		}
	}
	for _, c := range random.Created() {
		if !contains(&before, c) {
			draft.Apply(c)
		}
	}
	for _, c := range before.Created() {
		if isPolicy(c) && !slices.ContainsFunc(random.Created(), func(o cluster.Change) bool { return sameName(o, c) }) {
			deleted = append(deleted, strings.TrimPrefix(c.Object.GetNamespace()+"/"+c.Object.GetName(), "/"))
		}
	}
	return draft, deleted
}

func contains(o *cluster.Objects, c cluster.Change) bool {
	return slices.ContainsFunc(o.Created(), func(other cluster.Change) bool { return other.Object == c.Object })
}

func sameName(a, b cluster.Change) bool {
	return fmt.Sprintf("%T", a.Object) == fmt.Sprintf("%T", b.Object) && a.Object.GetNamespace() == b.Object.GetNamespace() && a.Object.GetName() == b.Object.GetName()
}

func isPolicy(c cluster.Change) bool {
	return strings.Contains(fmt.Sprintf("%T", c.Object), "NetworkPolicy")
}

// canChange reports whether the test can express a change as a draft and a list of deleted
// policies. It always can for a policy. For another object, it can only if the object already
// exists and is not deleted, the object is not a pod in the host network, and `policies` is false.
func canChange(c cluster.Change, before *cluster.Objects, policies bool) bool {
	if isPolicy(c) {
		return true
	}
	pod, isPod := c.Object.(*corev1.Pod)
	if policies || c.Deleted || isPod && pod.Spec.HostNetwork {
		return false
	}
	return slices.ContainsFunc(before.Created(), func(o cluster.Change) bool { return sameName(o, c) })
}

// checker predicts the change of a flow's verdict from a difference.
type checker struct {
	d             *diff.Diff
	before, after *cluster.Objects
	ends          map[string]diff.End
	pods          map[netip.Addr]string
}

func newChecker(d *diff.Diff, before, after *cluster.Objects) *checker {
	c := &checker{d: d, before: before, after: after, ends: map[string]diff.End{}, pods: map[netip.Addr]string{}}
	for _, e := range d.Ends {
		c.ends[e.Name] = e
	}
	for _, p := range before.Pods {
		for _, ip := range p.Status.PodIPs {
			c.pods[netip.MustParseAddr(ip.IP)] = p.Namespace + "/" + p.Name
		}
	}
	return c
}

// want returns the change of the verdict according to the reference. If the difference does not
// compare the flow, compared is false.
func (c *checker) want(f flow.Flow) (change string, compared bool) {
	src, dst := c.owners(f.Src), c.owners(f.Dst)
	if len(src) > 1 || len(dst) > 1 || f.Src == f.Dst || len(src)+len(dst) == 0 || slices.Equal(src, dst) {
		return "", false
	}
	before, after := reference.Evaluate(*c.before, f), reference.Evaluate(*c.after, f)
	if before.Ingress.Reason == rule.SameNode || after.Ingress.Reason == rule.SameNode {
		return "", false
	}
	switch {
	case before.Verdict == after.Verdict:
		return "", true
	case after.Verdict == rule.Allow:
		return diff.Gain, true
	default:
		return diff.Lose, true
	}
}

// owners returns the pods and nodes that have an address of a pod before or after the change. A pod
// that does not own the address both before and after the change counts twice.
func (c *checker) owners(a netip.Addr) (out []string) {
	count := map[string]int{}
	for _, o := range []*cluster.Objects{c.before, c.after} {
		for _, p := range o.Pods {
			if slices.ContainsFunc(p.Status.PodIPs, func(ip corev1.PodIP) bool { return netip.MustParseAddr(ip.IP) == a }) {
				name := p.Namespace + "/" + p.Name
				count[name]++
				if p.Spec.HostNetwork || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
					count[name] += 2
				}
			}
			if slices.ContainsFunc(p.Status.HostIPs, func(ip corev1.HostIP) bool { return netip.MustParseAddr(ip.IP) == a }) && c.pods[a] != "" {
				count["host"]++
			}
		}
		for _, n := range o.Nodes {
			if slices.ContainsFunc(n.Status.Addresses, func(x corev1.NodeAddress) bool { return x.Address == a.String() }) && c.pods[a] != "" {
				count["node"]++
			}
		}
	}
	for name, n := range count {
		out = append(out, name)
		if n != 2 {
			out = append(out, name)
		}
	}
	return out
}

// got returns the change of the verdict according to the difference.
func (c *checker) got(f flow.Flow) string {
	found := ""
	for _, change := range c.d.Changes {
		if !c.contains(change.From, f.Src) || !c.contains(change.To, f.Dst) || !slices.ContainsFunc(change.Ports, func(p string) bool { return containsPort(p, f) }) {
			continue
		}
		if len(change.Families) > 0 && change.Families[0] != map[bool]string{true: "IPv4", false: "IPv6"}[f.Src.Is4()] {
			continue
		}
		if found != "" {
			return "several changes"
		}
		found = change.Effect
	}
	return found
}

func (c *checker) contains(names []string, a netip.Addr) bool {
	in := func(cidrs []string) bool {
		return slices.ContainsFunc(cidrs, func(s string) bool { return netip.MustParsePrefix(s).Contains(a) })
	}
	return slices.ContainsFunc(names, func(name string) bool {
		e := c.ends[name]
		if pod := c.pods[a]; pod != "" {
			return slices.Contains(e.Pods, pod)
		}
		return in(e.Addresses) && !in(e.Except)
	})
}

func containsPort(text string, f flow.Flow) bool {
	if list, found := strings.CutPrefix(text, diff.EveryPort+" except "); found {
		return !slices.ContainsFunc(strings.Split(list, ", "), func(p string) bool { return containsPort(p, f) })
	}
	switch {
	case text == diff.EveryPort:
		return true
	case text == diff.WithoutPorts:
		return !f.Protocol.HasPorts()
	case !f.Protocol.HasPorts():
		return false
	case text == fmt.Sprintf("every %s port", f.Protocol):
		return true
	}
	protocol, ports, _ := strings.Cut(text, " ")
	first, last, found := strings.Cut(ports, "-")
	if !found {
		last = first
	}
	low, _ := strconv.Atoi(first)
	high, _ := strconv.Atoi(last)
	return protocol == f.Protocol.String() && low <= int(f.DstPort) && int(f.DstPort) <= high
}

func text(t testing.TB, d *diff.Diff) string {
	t.Helper()
	var out strings.Builder
	if err := d.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
