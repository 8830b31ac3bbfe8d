// Package podranges finds the ranges that contain the addresses of all pods in the cluster.
package podranges

import (
	"errors"
	"fmt"
	"net/netip"

	"go4.org/netipx"
	corev1 "k8s.io/api/core/v1"
)

// Max is the maximum number of ranges of one address family that Of returns.
const Max = 32

// Of returns the ranges of the given list, and the podCIDRs of the nodes. Adjacent ranges are
// merged. The result is sorted, with the IPv4 ranges first. If one family has more than Max
// ranges, Of widens the longest prefixes, so that the result also contains addresses that no
// pod can have.
//
// The error names the ranges of the list that are not CIDRs. Of omits these ranges.
func Of(list []string, nodes []corev1.Node) ([]string, error) {
	var prefixes []netip.Prefix
	var errs []error
	for i, text := range list {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			errs = append(errs, fmt.Errorf(`spec.podRanges[%d]: %q is not a CIDR: write it as in "10.244.0.0/16"`, i, text))
			continue
		}
		prefixes = append(prefixes, p)
	}
	for i := range nodes {
		for _, text := range nodes[i].Spec.PodCIDRs {
			// The API server accepts only valid podCIDRs.
			if p, err := netip.ParsePrefix(text); err == nil {
				prefixes = append(prefixes, p)
			}
		}
	}
	var out []string
	for _, is4 := range []bool{true, false} {
		for _, p := range merge(prefixes, is4) {
			out = append(out, p.String())
		}
	}
	return out, errors.Join(errs...)
}

// merge returns the fewest prefixes that contain all given prefixes of one family, but at most
// Max. To reach Max, it shortens the longest prefixes.
func merge(all []netip.Prefix, is4 bool) []netip.Prefix {
	for limit := 128; ; limit-- {
		var builder netipx.IPSetBuilder
		for _, p := range all {
			if p.Addr().Is4() == is4 {
				builder.AddPrefix(netip.PrefixFrom(p.Addr(), min(p.Bits(), limit)).Masked())
			}
		}
		// Without calls of Remove and Intersect, IPSet returns no error.
		set, err := builder.IPSet()
		if err != nil {
			return nil
		}
		if out := set.Prefixes(); len(out) <= Max {
			return out
		}
	}
}
