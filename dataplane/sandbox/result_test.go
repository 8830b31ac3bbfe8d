package sandbox

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Shortened result files in the format of libcni.
const (
	podArguments = `"cniArgs":[["IgnoreUnknown","1"],["K8S_POD_NAMESPACE","shop"],["K8S_POD_NAME","web-0"],["K8S_POD_INFRA_CONTAINER_ID","c1"],["K8S_POD_UID","6f1d"]]`
	head         = `{"kind":"cniCacheV1","containerId":"c1","config":"e30=","ifName":"eth0","networkName":"pods","netns":"/var/run/netns/cni-1",` + podArguments + `,"result":`
)

const (
	ptp = head + `{"cniVersion":"1.0.0","interfaces":[{"name":"veth1","mac":"aa:bb:cc:dd:ee:ff"},
		{"name":"eth0","mac":"aa:bb:cc:dd:ee:00","sandbox":"/var/run/netns/cni-1"}],
		"ips":[{"interface":1,"address":"10.1.0.4/24","gateway":"10.1.0.1"},{"interface":1,"address":"fd00::4/64"}],"dns":{}}}`
	bridge = head + `{"cniVersion":"1.1.0","interfaces":[{"name":"cni0"},{"name":"veth2","mtu":1500},{"name":"eth0","sandbox":"/run/netns/x"}],
		"ips":[{"address":"10.1.0.5/24"}]}}`
	version03 = head + `{"cniVersion":"0.3.1","interfaces":[{"name":"veth3"}],"ips":[{"version":"4","address":"10.1.0.6/32"}]}}`
	version02 = head + `{"cniVersion":"0.2.0","ip4":{"ip":"10.1.0.7/24","gateway":"10.1.0.1","routes":[{"dst":"0.0.0.0/0"}]},"ip6":{"ip":"fd00::7/64"},"dns":{}}}`
	macvlan   = head + `{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/x"}],"ips":[{"address":"10.1.0.8/24"}]}}`
	// This result is from the plugin for Azure. It contains the interface inside the pod
	// without the path of the network namespace.
	azure = head + `{"cniVersion":"0.3.0","interfaces":[{"name":"eth0"}],"ips":[{"version":"4","interface":0,"address":"10.1.0.9/24"}]}}`
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		content, addresses, host string
	}{
		"ptp":         {ptp, "10.1.0.4 fd00::4", "veth1"},
		"bridge":      {bridge, "10.1.0.5", "veth2"},
		"version 0.3": {version03, "10.1.0.6", "veth3"},
		"version 0.2": {version02, "10.1.0.7 fd00::7", ""},
		"macvlan":     {macvlan, "10.1.0.8", ""},
		"azure":       {azure, "10.1.0.9", ""},
		"addresses that a pod cannot have on a network": {
			head + `{"ips":[{"address":"169.254.1.1/16"},{"address":"fe80::1/64"},{"address":"127.0.0.1/8"},{"address":"224.0.0.1/4"},{"address":"0.0.0.0/0"},` +
				`{"address":"255.255.255.255/32"},{"address":"::ffff:10.0.0.1/128"},{"address":"10.0.0.1/24"}]}}`, "10.0.0.1", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := parse([]byte(c.content))
			if err != nil {
				t.Fatal(err)
			}
			want := Sandbox{
				Namespace: "shop", Name: "web-0", UID: "6f1d", ContainerID: "c1", Network: "pods", Interface: "eth0", HostInterface: c.host,
			}
			for _, a := range strings.Fields(c.addresses) {
				want.Addresses = append(want.Addresses, netip.MustParseAddr(a))
			}
			if diff := cmp.Diff(want, s, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestParseRejects(t *testing.T) {
	const noPod, invalid = true, false
	for name, c := range map[string]struct {
		content string
		noPod   bool
	}{
		"loopback":           {strings.Replace(ptp, `"ips":[`, `"ips":[],"x":[`, 1), noPod},
		"no result":          {head + `null}`, noPod},
		"another kind":       {strings.Replace(ptp, "cniCacheV1", "cniCacheV9", 1), noPod},
		"a result of podman": {strings.Replace(ptp, "K8S_POD_UID", "OTHER", 1), noPod},
		"empty file":         {"", invalid},
		"half a result":      {ptp[:len(ptp)/2], invalid},
		"a list":             {"[]", invalid},
		"not an address":     {strings.Replace(ptp, "10.1.0.4/24", "somewhere", 1), invalid},
		"no prefix length":   {strings.Replace(ptp, "10.1.0.4/24", "10.1.0.4", 1), invalid},
		"namespace":          {strings.Replace(ptp, `"shop"`, `"shop\nevil"`, 1), invalid},
		"long namespace":     {strings.Replace(ptp, `"shop"`, `"`+strings.Repeat("s", 64)+`"`, 1), invalid},
		"long UID":           {strings.Replace(ptp, `"6f1d"`, `"`+strings.Repeat("6", 65)+`"`, 1), invalid},
		"long interface":     {strings.Replace(ptp, `"veth1"`, `"veth567890123456"`, 1), invalid},
		"path as interface":  {strings.Replace(ptp, `"veth1"`, `"../x"`, 1), invalid},
		"no container":       {strings.Replace(ptp, `"containerId":"c1"`, `"containerId":""`, 1), invalid},
		"many addresses":     {head + `{"ips":[` + strings.Repeat(`{"address":"10.0.0.1/8"},`, 16) + `{"address":"10.0.0.1/8"}]}}`, invalid},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := parse([]byte(c.content))
			if err == nil || errors.Is(err, errNotPod) != c.noPod {
				t.Errorf("%+v, %v; want an error", s, err)
			}
		})
	}
}

// For any file content, parse returns either an error or values within their limits.
func FuzzParse(f *testing.F) {
	for _, content := range []string{ptp, bridge, version03, version02, macvlan, azure, "", "{}", head + "{}}", ptp[:100]} {
		f.Add([]byte(content))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := parse(content)
		if err != nil {
			return
		}
		if len(s.Addresses) == 0 || len(s.Addresses) > maxAddresses {
			t.Errorf("%d addresses", len(s.Addresses))
		}
		for _, a := range s.Addresses {
			if !a.IsGlobalUnicast() || a.Is4In6() || a.Zone() != "" {
				t.Errorf("address %s", a)
			}
		}
		for value, limit := range map[string]int{
			s.Namespace: maxNamespace, s.Name: maxPod, s.UID: maxUID, s.ContainerID: maxName, s.Network: maxName, s.Interface: 15,
		} {
			if value == "" || len(value) > limit || strings.ContainsAny(value, "\x00\n /\\\"'<>") {
				t.Errorf("value %q of at most %d bytes", value, limit)
			}
		}
		if len(s.HostInterface) > 15 {
			t.Errorf("interface %q", s.HostInterface)
		}
	})
}
