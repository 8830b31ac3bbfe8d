// Package topology builds the network in which sluice-demo opens connections. The network consists
// of one node with all pods of the manifests, and of addresses outside the node. One of these
// addresses is in each ipBlock of the policies, and one is in each range of an except list.
package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/test/lab"
)

// NodeName is the name of the only node. All pods run on this node.
const NodeName = "node"

// End is one end of a connection: a pod, the node, or an address outside the
// cluster.
type End struct {
	Name string `json:"name"`
	// Kind is KindPod, KindNode or KindOutside.
	Kind      string       `json:"kind"`
	Addresses []netip.Addr `json:"addresses"`
	// Note describes how policies can select the end. It contains the labels of a pod, or the
	// ipBlock of an address.
	Note string `json:"note,omitempty"`

	// Host is the network namespace that contains the addresses. All ends outside the cluster
	// share one network namespace.
	Host *lab.Host `json:"-"`
}

// These are the values of End.Kind.
const (
	KindPod     = "pod"
	KindNode    = "node"
	KindOutside = "outside"
)

// Topology contains the network of the demo, and a snapshot of the cluster that this network
// simulates.
type Topology struct {
	Node     *lab.Node
	Ends     []*End
	Snapshot *policy.Snapshot
	// Notes contains one sentence for each part of the manifests that was omitted.
	Notes []string

	lab *lab.Lab
}

// New creates network namespaces for the node, the pods and the ends outside the cluster. It
// starts a server for each port on each address. The caller must close the topology even if
// New also returns an error.
func New(set *inventory.Set, ports []Port) (*Topology, error) {
	t := &Topology{}
	var err error
	if t.lab, err = lab.New(); err != nil {
		return t, err
	}
	if t.Node, err = t.lab.AddNode(NodeName); err != nil {
		return t, err
	}
	if err := t.addPods(set); err != nil {
		return t, err
	}
	t.Ends = append(t.Ends, &End{Name: "the node", Kind: KindNode, Addresses: t.Node.Addresses(), Note: "kubelet and its probes", Host: t.Node.Host})
	if err := t.addOutside(); err != nil {
		return t, err
	}
	return t, t.serve(ports)
}

// Close removes all network namespaces and stops all servers.
func (t *Topology) Close() {
	if t.lab != nil {
		t.lab.Close()
	}
}

// addPods adds the pods to the snapshot, creates a network namespace for each pod, and connects
// it to the node. It omits finished pods and pods in the host network. If all addresses of a
// pod belong to newer pods, it creates no network namespace for the pod.
func (t *Topology) addPods(set *inventory.Set) error {
	placed := *set
	placed.Nodes = []inventory.Node{{Node: policy.Node{Name: NodeName, Addresses: t.Node.Addresses()}}}
	placed.Pods = nil
	t.Snapshot = placed.Snapshot()
	var pods []policy.Pod
	for _, p := range set.Pods {
		pod := p.Pod
		if pod.HostNetwork || pod.Finished {
			t.Note("omitted %s/%s: the pod has no address of its own (%s)", pod.Namespace, pod.Name, whyWithoutAddress(&pod))
			continue
		}
		pod.Node, pod.Running, pod.HostAddresses = NodeName, true, nil
		pods = append(pods, pod)
		t.Snapshot.UpsertPod(&pod)
	}
	// Pods that already have addresses are added first, so that other pods do not receive
	// these addresses.
	slices.SortStableFunc(pods, func(a, b policy.Pod) int { return min(len(b.Addresses), 1) - min(len(a.Addresses), 1) })
	for _, pod := range pods {
		if err := t.addPod(&pod); err != nil {
			return err
		}
	}
	slices.SortStableFunc(t.Ends, func(a, b *End) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func (t *Topology) addPod(pod *policy.Pod) error {
	name := pod.String()
	var own []netip.Addr
	for _, a := range pod.Addresses {
		if o, ok := t.Snapshot.Owner(a); ok && o.Namespace == pod.Namespace && o.Name == pod.Name {
			own = append(own, a)
		}
	}
	if len(own) == 0 && len(pod.Addresses) > 0 {
		t.Note("omitted %s: a newer pod has its address", name)
		return nil
	}
	host, err := t.Node.AddPod(name, own...)
	if err != nil {
		return err
	}
	if len(own) == 0 {
		pod.Addresses = host.Addresses()
		t.Snapshot.UpsertPod(pod)
	}
	t.Ends = append(t.Ends, &End{Name: name, Kind: KindPod, Addresses: host.Addresses(), Note: pod.Labels.String(), Host: host.Host})
	return nil
}

func (t *Topology) addOutside() error {
	taken := map[netip.Addr]bool{}
	for _, e := range t.Ends {
		for _, a := range e.Addresses {
			taken[a] = true
		}
	}
	for _, a := range t.lab.Outside.Addresses() {
		taken[a] = true
	}
	ends, left := outside(t.Snapshot.Policies(), taken)
	if left > 0 {
		t.Note("omitted addresses in %d more ipBlocks and excepts", left)
	}
	for _, e := range ends {
		if err := t.lab.AddAddress(e.Addresses...); err != nil {
			return err
		}
		e.Host = t.lab.Outside
	}
	t.Ends = append(t.Ends, ends...)
	return nil
}

// serve starts a server on every port of every end. So a connection fails only because it is
// denied, and never because no server listens.
func (t *Topology) serve(ports []Port) error {
	for _, e := range t.Ends {
		for _, a := range e.Addresses {
			for _, p := range ports {
				if p == Ping {
					continue // The kernel replies to echo requests, so no server is needed.
				}
				if _, err := e.Host.Serve(p.Protocol, netip.AddrPortFrom(a, p.Number)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Note appends a note.
func (t *Topology) Note(format string, args ...any) {
	t.Notes = append(t.Notes, fmt.Sprintf(format, args...))
}

// Pods returns the number of pods in the network.
func (t *Topology) Pods() int {
	n := 0
	for _, e := range t.Ends {
		if e.Kind == KindPod {
			n++
		}
	}
	return n
}

// Address returns the first address of an end in the given family, and reports whether the
// end has such an address.
func (e *End) Address(ipv4 bool) (netip.Addr, bool) {
	for _, a := range e.Addresses {
		if a.Is4() == ipv4 {
			return a, true
		}
	}
	return netip.Addr{}, false
}

func whyWithoutAddress(p *policy.Pod) string {
	if p.HostNetwork {
		return "hostNetwork"
	}
	return "it has finished"
}
