// Package announced reads the addresses that network plugins announce in annotations of Pods. A
// plugin writes such an annotation while it sets up the network of a pod, before the kubelet
// writes status.podIPs.
//
// Every user with permission to change a Pod can write the same annotations. This package only
// parses the annotations. Package policy decides whether an announced address is used.
package announced

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
)

const (
	// maxLength is the maximum length of an annotation in bytes. maxAddresses is the maximum
	// number of addresses in an annotation. The function Addresses ignores an annotation that
	// exceeds one of the limits.
	maxLength    = 8192
	maxAddresses = 8
)

// sources lists the annotations in order of preference.
var sources = []struct {
	annotation string
	parse      func(string) ([]string, bool)
}{
	{"cni.projectcalico.org/podIPs", list},
	{"cni.projectcalico.org/podIP", list},
	{"k8s.v1.cni.cncf.io/network-status", networkStatus},
	{"vpc.amazonaws.com/pod-ips", list},
}

// Addresses returns the addresses in the first valid annotation that contains an address, or nil if
// there is no such annotation.
func Addresses(annotations map[string]string) []netip.Addr {
	for _, source := range sources {
		text := annotations[source.annotation]
		if text == "" || len(text) > maxLength {
			continue
		}
		if parts, ok := source.parse(text); ok && len(parts) <= maxAddresses {
			if out := parse(parts); out != nil {
				return out
			}
		}
	}
	return nil
}

// parse parses a list of addresses. It returns nil if an element is not the address of a single
// host.
func parse(parts []string) (out []netip.Addr) {
	for _, part := range parts {
		part = strings.TrimSpace(part)
		a, err := netip.ParseAddr(part)
		if err != nil {
			prefix, err := netip.ParsePrefix(part)
			if err != nil || !prefix.IsSingleIP() {
				return nil
			}
			a = prefix.Addr()
		}
		if !a.IsGlobalUnicast() || a.Is4In6() || a.Zone() != "" {
			return nil
		}
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// list splits a comma-separated list such as 10.0.0.1/32,fd00::1/128.
func list(text string) ([]string, bool) {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' }), true
}

// networkStatus returns the addresses of the default network in the JSON that Multus writes. The
// second result, `ok`, reports whether exactly one network is the default network.
func networkStatus(text string) (addresses []string, ok bool) {
	var networks []struct {
		IPs     []string `json:"ips"`
		Default bool     `json:"default"`
	}
	if err := json.Unmarshal([]byte(text), &networks); err != nil {
		return nil, false
	}
	for _, n := range networks {
		if !n.Default {
			continue
		}
		if ok {
			return nil, false
		}
		addresses, ok = n.IPs, true
	}
	return addresses, ok
}
