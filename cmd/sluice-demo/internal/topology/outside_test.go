package topology

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
)

func blockPolicy(blocks ...networkingv1.IPBlock) *policy.Policy {
	np := &networkingv1.NetworkPolicy{}
	for i := range blocks {
		np.Spec.Ingress = append(np.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{
			From: []networkingv1.NetworkPolicyPeer{{IPBlock: &blocks[i]}},
		})
	}
	out, _ := read.NetworkPolicy(np)
	return out
}

func TestOutside(t *testing.T) {
	for name, test := range map[string]struct {
		blocks []networkingv1.IPBlock
		taken  []string
		want   []string
	}{
		"no block": {
			want: []string{"203.0.113.10 2001:db8::10"},
		},
		"the page": {
			blocks: []networkingv1.IPBlock{{CIDR: "172.17.0.0/16", Except: []string{"172.17.1.0/24"}}, {CIDR: "10.0.0.0/24"}},
			want:   []string{"172.17.0.10", "172.17.1.10", "10.0.0.10", "203.0.113.10 2001:db8::10"},
		},
		"everything": {
			blocks: []networkingv1.IPBlock{{CIDR: "0.0.0.0/0"}, {CIDR: "::/0"}},
			want:   []string{"203.0.113.10", "2001:db8::10"},
		},
		"everything but": {
			blocks: []networkingv1.IPBlock{{CIDR: "0.0.0.0/0", Except: []string{"0.0.0.0/1"}}},
			want:   []string{"203.0.113.10", "64.0.0.10", "2001:db8::10"},
		},
		"one address, taken": {
			blocks: []networkingv1.IPBlock{{CIDR: "10.1.2.3/32"}, {CIDR: "fd00::7/128"}},
			taken:  []string{"10.1.2.3"},
			want:   []string{"fd00::7", "203.0.113.10 2001:db8::10"},
		},
		"excepts around the first candidates": {
			blocks: []networkingv1.IPBlock{{CIDR: "10.0.0.0/24", Except: []string{"10.0.0.0/28"}}},
			want:   []string{"10.0.0.138", "10.0.0.10", "203.0.113.10 2001:db8::10"},
		},
		"unreadable": {
			blocks: []networkingv1.IPBlock{{CIDR: "10.0.0.0/33"}},
			want:   []string{"203.0.113.10 2001:db8::10"},
		},
		"nothing a host can have": {
			blocks: []networkingv1.IPBlock{{CIDR: "224.0.0.0/4"}, {CIDR: "127.0.0.0/8"}, {CIDR: "ff00::/8"}},
			want:   []string{"203.0.113.10 2001:db8::10"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			taken := map[netip.Addr]bool{}
			for _, a := range test.taken {
				taken[netip.MustParseAddr(a)] = true
			}
			ends, left := outside([]*policy.Policy{blockPolicy(test.blocks...)}, taken)
			var got []string
			for _, e := range ends {
				text := ""
				for _, a := range e.Addresses {
					text += " " + a.String()
				}
				got = append(got, text[1:])
			}
			if diff := cmp.Diff(test.want, got); diff != "" || left != 0 {
				t.Errorf("addresses (-want +got), %d left out:\n%s", left, diff)
			}
		})
	}
}
