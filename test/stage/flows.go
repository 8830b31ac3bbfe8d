package stage

import (
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/cluster"
)

// Flows returns the flows of an expectation. The source and the destination must each be a pod,
// node:NAME or an address. If both are names, Flows returns one flow for each pair of a source
// address and a destination address of the same family.
func Flows(t testing.TB, objects *cluster.Objects, e *Expectation) []flow.Flow {
	t.Helper()
	f := flow.Flow{Protocol: e.Protocol}
	if e.Protocol.HasPorts() {
		f.SrcPort, f.DstPort = 40000, e.Port
	}
	var flows []flow.Flow
	for _, src := range addresses(t, objects, e.From) {
		for _, dst := range addresses(t, objects, e.To) {
			if src.Is4() == dst.Is4() {
				f.Src, f.Dst = src, dst
				flows = append(flows, f)
			}
		}
	}
	if len(flows) == 0 {
		t.Fatalf("%q: no address family in common", e.Line)
	}
	return flows
}

func addresses(t testing.TB, objects *cluster.Objects, end string) []netip.Addr {
	t.Helper()
	if address, err := netip.ParseAddr(end); err == nil {
		return []netip.Addr{address}
	}
	if name, ok := strings.CutPrefix(end, "node:"); ok {
		return nodeAddresses(objects, name)
	}
	for _, pod := range objects.Pods {
		if pod.Namespace+"/"+pod.Name == end {
			var list []netip.Addr
			for _, a := range pod.Status.PodIPs {
				list = append(list, netip.MustParseAddr(a.IP))
			}
			return list
		}
	}
	t.Fatalf("there is no pod %s", end)
	return nil
}

func nodeAddresses(objects *cluster.Objects, name string) []netip.Addr {
	var list []netip.Addr
	for _, n := range objects.Nodes {
		if n.Name != name {
			continue
		}
		for _, a := range n.Status.Addresses {
			if a.Type != corev1.NodeHostName {
				list = append(list, netip.MustParseAddr(a.Address))
			}
		}
	}
	return list
}
