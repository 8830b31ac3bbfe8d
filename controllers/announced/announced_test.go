package announced

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

const (
	calico = "cni.projectcalico.org/podIPs"
	multus = "k8s.v1.cni.cncf.io/network-status"
)

func TestAddresses(t *testing.T) {
	for name, tt := range map[string]struct {
		annotations map[string]string
		want        string
	}{
		"none":                      {nil, "[]"},
		"others":                    {map[string]string{"note": "10.0.0.1"}, "[]"},
		"Calico":                    {map[string]string{calico: "10.0.0.1/32,fd00::1/128"}, "[10.0.0.1 fd00::1]"},
		"Calico, one address":       {map[string]string{"cni.projectcalico.org/podIP": "10.0.0.1/32"}, "[10.0.0.1]"},
		"Calico, after the end":     {map[string]string{calico: ""}, "[]"},
		"Calico before Multus":      {map[string]string{calico: "10.0.0.1", multus: `[{"ips":["10.0.0.2"],"default":true}]`}, "[10.0.0.1]"},
		"AWS":                       {map[string]string{"vpc.amazonaws.com/pod-ips": "10.0.0.1, 10.0.0.2,"}, "[10.0.0.1 10.0.0.2]"},
		"Multus":                    {map[string]string{multus: `[{"name":"a","ips":["10.1.0.1"]},{"name":"b","interface":"eth0","ips":["10.0.0.1","fd00::1"],"default":true,"dns":{}}]`}, "[10.0.0.1 fd00::1]"},
		"Multus, no default":        {map[string]string{multus: `[{"ips":["10.0.0.1"]}]`}, "[]"},
		"Multus, two defaults":      {map[string]string{multus: `[{"ips":["10.0.0.1"],"default":true},{"ips":["10.0.0.2"],"default":true}]`}, "[]"},
		"Multus, no JSON":           {map[string]string{multus: `[{`}, "[]"},
		"Multus, another type":      {map[string]string{multus: `{"ips":["10.0.0.1"],"default":true}`}, "[]"},
		"the same address twice":    {map[string]string{calico: "10.0.0.1/32,10.0.0.1"}, "[10.0.0.1]"},
		"a network":                 {map[string]string{calico: "10.0.0.0/24"}, "[]"},
		"a part that is no address": {map[string]string{calico: "10.0.0.1,x"}, "[]"},
		"loopback":                  {map[string]string{calico: "127.0.0.1"}, "[]"},
		"link-local":                {map[string]string{calico: "fe80::1"}, "[]"},
		"multicast":                 {map[string]string{calico: "224.0.0.1"}, "[]"},
		"unspecified":               {map[string]string{calico: "0.0.0.0"}, "[]"},
		"IPv4-mapped":               {map[string]string{calico: "::ffff:10.0.0.1"}, "[]"},
		"a zone":                    {map[string]string{calico: "fd00::1%eth0"}, "[]"},
		"too many":                  {map[string]string{calico: "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6,10.0.0.7,10.0.0.8,10.0.0.9"}, "[]"},
		"too long":                  {map[string]string{calico: "10.0.0.1" + strings.Repeat(" ", maxLength)}, "[]"},
	} {
		if got := fmt.Sprint(Addresses(tt.annotations)); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

// FuzzAddresses checks that for any annotation, Addresses returns at most the maximum number of
// addresses, and that each returned address can be the address of a host.
func FuzzAddresses(f *testing.F) {
	for _, text := range []string{"10.0.0.1/32,fd00::1/128", "10.0.0.1", `[{"ips":["10.0.0.1"],"default":true}]`, `[{"ips":null,"default":true}]`, "[[", ",,", "::ffff:1.2.3.4/128"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, source := range sources {
			got := Addresses(map[string]string{source.annotation: text})
			seen := map[netip.Addr]bool{}
			for _, a := range got {
				if seen[a] || !a.IsGlobalUnicast() || a.Is4In6() || a.Zone() != "" {
					t.Errorf("%s: %q announces %s", source.annotation, text, a)
				}
				seen[a] = true
			}
			if len(got) > maxAddresses {
				t.Errorf("%s: %d addresses", source.annotation, len(got))
			}
		}
	})
}
