package read

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"
)

// portNameFault states why a text is not a port name and what to write instead. The parameter
// reasons lists the rules for port names that the text violates.
func portNameFault(text string, reasons []string) string {
	if _, err := strconv.ParseUint(text, 10, 16); err == nil {
		return fmt.Sprintf("%q in quotes is a port name, and a port name contains a letter: write port: %s, without quotes", text, text)
	}
	if first, last, ok := cutNumbers(text, "-"); ok {
		return fmt.Sprintf("%q is not a port name: for a range, write port: %d and endPort: %d", text, first, last)
	}
	number, protocol, _ := strings.Cut(text, "/")
	if _, err := strconv.ParseUint(number, 10, 16); err == nil && protocolFix(protocol) != "" {
		return fmt.Sprintf("%q is not a port name: write port: %s and protocol: %s", text, number, protocolFix(protocol))
	}
	if strings.ContainsAny(text, ", ") {
		return fmt.Sprintf("%q is not a port name: write one entry for each port", text)
	}
	if len(text) > 15 {
		return fmt.Sprintf("%q is not a port name: a port name has at most 15 characters; use the number of the port", text)
	}
	return fmt.Sprintf("%q is not a port name: %s", text, strings.Join(reasons, "; "))
}

// cutNumbers splits a text at a separator into two port numbers.
func cutNumbers(text, separator string) (first, last uint64, ok bool) {
	before, after, _ := strings.Cut(text, separator)
	first, errFirst := strconv.ParseUint(strings.TrimSpace(before), 10, 16)
	last, errLast := strconv.ParseUint(strings.TrimSpace(after), 10, 16)
	return first, last, cmp.Or(errFirst, errLast) == nil
}

// protocolFix returns the protocol that a text means if its letters have the wrong case, such as
// TCP for tcp. If there is no such protocol, it returns "".
func protocolFix(text string) corev1.Protocol {
	upper := corev1.Protocol(strings.ToUpper(text))
	if slices.Contains([]corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP}, upper) {
		return upper
	}
	return ""
}

// protocolFault states what to write instead of an unknown protocol.
func protocolFault(text corev1.Protocol) string {
	switch fix := protocolFix(string(text)); {
	case fix != "":
		return fmt.Sprintf("%q: write %s, in upper case", text, fix)
	case strings.HasPrefix(strings.ToUpper(string(text)), "ICMP"):
		return fmt.Sprintf("%q: a port entry cannot name ICMP; only a rule without ports allows ICMP, together with every other protocol", text)
	default:
		return fmt.Sprintf("%q: want TCP, UDP or SCTP; a rule without ports allows every protocol", text)
	}
}

// cidrFault states why a text is not a CIDR and what to write instead.
func cidrFault(text string) error {
	const want = "write an address, a slash and a length, such as 10.0.0.0/8"
	addr, err := netip.ParseAddr(text)
	address, mask, _ := strings.Cut(text, "/")
	switch {
	case err == nil && addr.Zone() == "":
		return fmt.Errorf("%q is an address, not a CIDR: write %s", text, netip.PrefixFrom(addr, addr.BitLen()))
	case text == "*":
		return fmt.Errorf("%q is not a CIDR: write an entry with 0.0.0.0/0, and an entry with ::/0 for IPv6", text)
	case strings.ContainsAny(text, ", "):
		return fmt.Errorf("%q is not a CIDR: write one entry for each CIDR", text)
	case isRange(text):
		return fmt.Errorf("%q is a range of addresses: write one entry for each CIDR of the range", text)
	case maskLength(mask) > 0:
		return fmt.Errorf("%q has a netmask: write its length, as in %s/%d", text, address, maskLength(mask))
	case strings.ContainsAny(text, "ghijklmnopqrstuvwxyz") && len(validation.IsDNS1123Subdomain(text)) == 0:
		return fmt.Errorf("%q is a name, and policies match only addresses: write the addresses of the name as CIDRs", text)
	default:
		return fmt.Errorf("%q is not a CIDR: %s", text, want)
	}
}

func isRange(text string) bool {
	first, last, _ := strings.Cut(text, "-")
	_, errFirst := netip.ParseAddr(strings.TrimSpace(first))
	_, errLast := netip.ParseAddr(strings.TrimSpace(last))
	return cmp.Or(errFirst, errLast) == nil
}

// maskLength returns the length of an IPv4 netmask, such as 8 for 255.0.0.0. If the text is not a
// netmask, it returns 0.
func maskLength(text string) int {
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is4() {
		return 0
	}
	mask := binary.BigEndian.Uint32(addr.AsSlice())
	if length := bits.LeadingZeros32(^mask); mask<<length == 0 {
		return length
	}
	return 0
}

// requirementFault states what to write instead of a requirement of a selector that the API server
// rejects for the given reason.
func requirementFault(key string, op selection.Operator, values []string, reason error) string {
	switch {
	case (op == selection.In || op == selection.NotIn) && len(values) == 0:
		return "values is empty: list at least one value, or use the operator Exists or DoesNotExist"
	case (op == selection.Exists || op == selection.DoesNotExist) && len(values) > 0:
		return "values must be empty for the operators Exists and DoesNotExist: remove values, or use In or NotIn"
	case op != selection.Equals || len(values) != 1:
		return reason.Error()
	}
	switch value := values[0]; {
	case value == "*":
		return fmt.Sprintf("%q is not a label value, and a selector has no wildcards: to match every value, write matchExpressions: [{key: %s, operator: Exists}]", value, key)
	case strings.Contains(value, ","):
		return fmt.Sprintf("%q is not a label value: to match one of several values, write matchExpressions: [{key: %s, operator: In, values: [%s]}]",
			value, key, strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' }), ", "))
	default:
		return reason.Error()
	}
}

// operatorFault states what to write instead of an unknown operator of a selector.
func operatorFault(operator string) string {
	switch strings.ToLower(operator) {
	case "in", "equals", "equal", "eq", "=", "==":
		return fmt.Sprintf("%q: write In", operator)
	case "notin", "notequals", "notequal", "ne", "neq", "!=":
		return fmt.Sprintf("%q: write NotIn", operator)
	}
	return fmt.Sprintf("%q: want In, NotIn, Exists or DoesNotExist", operator)
}
