package demo

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/test/lab"
)

// nodeName is the node that all pods are put on.
const nodeName = "node"

// End is one end of the connections: a pod, the node, or an address outside.
type End struct {
	Name string `json:"name"`
	// Kind is pod, node or outside.
	Kind      string       `json:"kind"`
	Addresses []netip.Addr `json:"addresses"`
	// Note is what policies may know it by.
	Note string `json:"note,omitempty"`

	host *lab.Host
}

// The kinds of end.
const (
	kindPod     = "pod"
	kindNode    = "node"
	kindOutside = "outside"
)

// stage is the lab with the manifests' cluster in it.
type stage struct {
	lab      *lab.Lab
	node     *lab.Node
	ends     []*End
	snapshot *policy.Snapshot
	// notes are what was left out, a sentence each.
	notes []string
}

// build makes the node, the pods and the outside. The caller closes the lab of
// the stage that it gets, also beside an error.
func build(set *inventory.Set, ports []Port) (*stage, error) {
	s := &stage{}
	var err error
	if s.lab, err = lab.New(); err != nil {
		return s, err
	}
	if s.node, err = s.lab.AddNode(nodeName); err != nil {
		return s, err
	}
	if err := s.addPods(set); err != nil {
		return s, err
	}
	s.ends = append(s.ends, &End{Name: "the node", Kind: kindNode, Addresses: s.node.Addresses(), Note: "kubelet and its probes", host: s.node.Host})
	if err := s.addOutside(); err != nil {
		return s, err
	}
	return s, s.serve(ports)
}

// addPods gives the snapshot every pod, and a host to each that has an address
// of its own.
func (s *stage) addPods(set *inventory.Set) error {
	placed := *set
	placed.Nodes = []inventory.Node{{Node: policy.Node{Name: nodeName, Addresses: s.node.Addresses()}}}
	placed.Pods = nil
	s.snapshot = placed.Snapshot()
	var pods []policy.Pod
	for _, p := range set.Pods {
		pod := p.Pod
		if pod.HostNetwork || pod.Finished {
			s.note("%s/%s is left out: it has no address of its own (%s)", pod.Namespace, pod.Name, reasonToLeaveOut(&pod))
			continue
		}
		pod.Node, pod.Running, pod.HostAddresses = nodeName, true, nil
		pods = append(pods, pod)
		s.snapshot.UpsertPod(&pod)
	}
	// Pods with addresses first: the others get what they leave free.
	slices.SortStableFunc(pods, func(a, b policy.Pod) int { return min(len(b.Addresses), 1) - min(len(a.Addresses), 1) })
	for _, pod := range pods {
		if err := s.addPod(&pod); err != nil {
			return err
		}
	}
	slices.SortStableFunc(s.ends, func(a, b *End) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func (s *stage) addPod(pod *policy.Pod) error {
	name := pod.Namespace + "/" + pod.Name
	var own []netip.Addr
	for _, a := range pod.Addresses {
		if o, ok := s.snapshot.Owner(a); ok && o.Namespace == pod.Namespace && o.Name == pod.Name {
			own = append(own, a)
		}
	}
	if len(own) == 0 && len(pod.Addresses) > 0 {
		s.note("%s is left out: a newer pod has its address", name)
		return nil
	}
	host, err := s.node.AddPod(name, own...)
	if err != nil {
		return err
	}
	if len(own) == 0 {
		pod.Addresses = host.Addresses()
		s.snapshot.UpsertPod(pod)
	}
	s.ends = append(s.ends, &End{Name: name, Kind: kindPod, Addresses: host.Addresses(), Note: pod.Labels.String(), host: host.Host})
	return nil
}

func (s *stage) addOutside() error {
	taken := map[netip.Addr]bool{}
	for _, e := range s.ends {
		for _, a := range e.Addresses {
			taken[a] = true
		}
	}
	for _, a := range s.lab.World.Addresses() {
		taken[a] = true
	}
	ends, left := outside(s.snapshot.Policies(), taken)
	if left > 0 {
		s.note("%d more addresses outside, which other ipBlocks name, are left out", left)
	}
	for _, e := range ends {
		if err := s.lab.AddAddress(e.Addresses...); err != nil {
			return err
		}
		e.host = s.lab.World
	}
	s.ends = append(s.ends, ends...)
	return nil
}

// serve lets every end answer on every port, so that a refusal is always
// somebody's decision and never a server that is not there.
func (s *stage) serve(ports []Port) error {
	for _, e := range s.ends {
		for _, a := range e.Addresses {
			for _, p := range ports {
				if p == Ping {
					continue // The kernel answers.
				}
				if _, err := e.host.Serve(p.Protocol, netip.AddrPortFrom(a, p.Number)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (s *stage) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

func (s *stage) pods() int {
	n := 0
	for _, e := range s.ends {
		if e.Kind == kindPod {
			n++
		}
	}
	return n
}

// address gives the end's address of a family.
func (e *End) address(four bool) (netip.Addr, bool) {
	for _, a := range e.Addresses {
		if a.Is4() == four {
			return a, true
		}
	}
	return netip.Addr{}, false
}

func reasonToLeaveOut(p *policy.Pod) string {
	if p.HostNetwork {
		return "hostNetwork"
	}
	return "it has finished"
}

// Port is what connections are opened to.
type Port struct {
	Protocol flow.Protocol
	Number   uint16
}

func endNames(ends []*End) []string {
	out := make([]string, len(ends))
	for i, e := range ends {
		out[i] = e.Name
	}
	return out
}
