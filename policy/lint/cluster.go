package lint

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/label"
)

// cluster contains the objects of a snapshot, with indexes for the checks.
type cluster struct {
	// pods lists, by namespace, the pods that selectors can match. These are the pods in the
	// pod network that have not finished. They include pods that have no address yet.
	pods map[string][]*policy.Pod
	// withPods contains the names of the namespaces that have an entry in the map pods,
	// sorted.
	withPods []string
	// hostPods lists, by namespace, the pods in the host network that have not finished.
	hostPods   map[string][]*policy.Pod
	namespaces map[string]*policy.Namespace
	subjects   []*subject
	// byNamespace lists the subjects by the namespaces of their policies.
	byNamespace map[string][]*subject
	addresses   []podAddress
	// anyPod is true if the snapshot contains at least one pod.
	anyPod  bool
	dnsPods []*policy.Pod
	// inBlock caches the results of podsInBlock, because many policies contain the same few
	// blocks.
	inBlock map[string][]*policy.Pod
}

type podAddress struct {
	addr netip.Addr
	pod  *policy.Pod
}

// subject is a policy, together with the pods that the policy selects.
type subject struct {
	*policy.Policy
	name string
	pods []*policy.Pod
	// dns caches the result of allowsDNS.
	dns answer
}

// answer caches the result of a function that returns a bool.
type answer uint8

const (
	unknown answer = iota
	no
	yes
)

func newCluster(s *policy.Snapshot) *cluster {
	c := &cluster{
		pods: map[string][]*policy.Pod{}, hostPods: map[string][]*policy.Pod{},
		namespaces: map[string]*policy.Namespace{}, byNamespace: map[string][]*subject{}, inBlock: map[string][]*policy.Pod{},
	}
	for _, n := range s.Namespaces() {
		c.namespaces[n.Name] = &n
	}
	for _, p := range s.Pods() {
		c.addPod(&p)
	}
	c.withPods = slices.Sorted(maps.Keys(c.pods))
	slices.SortFunc(c.addresses, func(a, b podAddress) int { return a.addr.Compare(b.addr) })
	for _, p := range s.Policies() {
		s := &subject{Policy: p, name: p.String()}
		for _, pod := range c.pods[p.Scope] {
			if p.Selects(pod) {
				s.pods = append(s.pods, pod)
			}
		}
		c.subjects = append(c.subjects, s)
		c.byNamespace[p.Scope] = append(c.byNamespace[p.Scope], s)
	}
	return c
}

func (c *cluster) addPod(p *policy.Pod) {
	c.anyPod = true
	switch {
	case p.Finished:
		return
	case p.HostNetwork:
		c.hostPods[p.Namespace] = append(c.hostPods[p.Namespace], p)
		return
	}
	c.pods[p.Namespace] = append(c.pods[p.Namespace], p)
	for _, a := range p.Addresses {
		c.addresses = append(c.addresses, podAddress{addr: a, pod: p})
	}
	if isDNS(p) {
		c.dnsPods = append(c.dnsPods, p)
	}
}

// podsByNamespace returns an iterator over the map pods, sorted by namespace.
func (c *cluster) podsByNamespace() iter.Seq2[string, []*policy.Pod] {
	return func(yield func(string, []*policy.Pod) bool) {
		for _, namespace := range c.withPods {
			if !yield(namespace, c.pods[namespace]) {
				return
			}
		}
	}
}

// matchesNamespace reports whether the set matches at least one namespace that has a
// Namespace object.
func (c *cluster) matchesNamespace(s *policy.PodSet) bool {
	for name, object := range c.namespaces {
		if s.MatchesNamespace(name, object) {
			return true
		}
	}
	return false
}

// podsOf returns the pods in the cluster that a set contains.
func (c *cluster) podsOf(s *policy.PodSet) []*policy.Pod {
	if s.Namespace != "" {
		return matching(nil, c.pods[s.Namespace], s.Pods)
	}
	var out []*policy.Pod
	for namespace, pods := range c.podsByNamespace() {
		if s.MatchesNamespace(namespace, c.namespaces[namespace]) {
			out = matching(out, pods, s.Pods)
		}
	}
	return out
}

// matching returns a list that contains all pods in `to`, followed by the pods in `pods` that
// match the selector.
func matching(to, pods []*policy.Pod, selector label.Selector) []*policy.Pod {
	for _, pod := range pods {
		if selector.Matches(pod.Labels) {
			to = append(to, pod)
		}
	}
	return to
}

// podsInBlock returns the pods that have at least one address in the block. It lists each pod
// once.
func (c *cluster) podsInBlock(b *policy.Block) []*policy.Pod {
	key := b.Key()
	pods, known := c.inBlock[key]
	if !known {
		pods = c.searchBlock(b)
		c.inBlock[key] = pods
	}
	return pods
}

func (c *cluster) searchBlock(b *policy.Block) []*policy.Pod {
	cidr := b.CIDR.Prefix
	first, _ := slices.BinarySearchFunc(c.addresses, cidr.Addr(), func(a podAddress, target netip.Addr) int { return a.addr.Compare(target) })
	seen := map[*policy.Pod]bool{}
	var out []*policy.Pod
	for _, a := range c.addresses[first:] {
		if !cidr.Contains(a.addr) {
			break
		}
		if !seen[a.pod] && b.Contains(a.addr) {
			seen[a.pod] = true
			out = append(out, a.pod)
		}
	}
	return out
}

// list returns a text with the names of up to three pods and the number of remaining pods,
// such as "a/b, c/d, e/f and 2 more".
func list(pods []*policy.Pod) string {
	const shown = 3
	names := make([]string, 0, shown)
	for _, p := range pods[:min(len(pods), shown)] {
		names = append(names, p.Namespace+"/"+p.Name)
	}
	if len(pods) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), len(pods)-shown)
	}
	return strings.Join(names, ", ")
}
