package compile

import (
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
)

// If a rule combines a block with a port name, the pod addresses in the block need a separate
// class, which differs from the class of the pod's cohort. When the last program that uses the
// block is removed, this class is removed too. If a later program uses the block, the addresses
// get a class again, even though they did not change.
func TestClassOfAnAddressIsRemovedWithItsBlock(t *testing.T) {
	s := policy.NewSnapshot()
	named := intstr.FromString("http")
	p := ingressFrom("block")
	p.Spec = networkingv1.NetworkPolicySpec{
		PodSelector: *selecting("app", "client"),
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		Egress: []networkingv1.NetworkPolicyEgressRule{{
			To:    []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.1.0/24"}}},
			Ports: []networkingv1.NetworkPolicyPort{{Port: &named}},
		}},
	}
	upsertPolicy(s, p)
	web := testPod("web", "n2", "10.0.1.1")
	web.Ports = []policy.ContainerPort{{Name: "http", Protocol: flow.TCP, Number: 8080}}
	upsert(s, web)
	client := testPod("client", "n1", "10.0.0.1", "app", "client")
	c := New(s, "n1")
	for range 3 {
		upsert(s, client)
		d := c.Delta()
		if len(d.Programs) != 1 || d.Programs[0].Program == nil || len(d.Programs[0].Program.Rules) != 1 {
			t.Fatalf("%+v: want one program with one rule", d.Programs)
		}
		class := d.Programs[0].Program.Rules[0].Matches[0].Classes[0]
		found := false
		for _, a := range d.Addresses {
			if a.Addr == netip.MustParseAddr("10.0.1.1") {
				found = a.Owner == rule.Owner{Kind: rule.RemotePod, Class: class}
			}
		}
		if !found {
			t.Fatalf("%+v: want 10.0.1.1 in class %d, which the program names", d.Addresses, class)
		}
		s.DeletePod("shop", "client")
		c.Delta()
		if len(c.byAddress) != 0 || len(c.classes) != 0 || len(c.sentOwners) != 0 {
			t.Fatalf("no program uses the block any more, but %d addresses with a class, %d classes and %d owners are left", len(c.byAddress), len(c.classes), len(c.sentOwners))
		}
	}
}
