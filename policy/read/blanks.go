package read

import (
	"encoding/json"
	"fmt"
)

// Blanks returns the paths of the lists and ports of a NetworkPolicy, given as JSON, that are written
// without a value, such as spec.ingress[0].from. The value of such a field is null or an empty list.
// The API server treats the fields like missing fields and does not store them, so only manifests
// contain them.
func Blanks(policy []byte) []string {
	var in struct {
		Spec map[string]json.RawMessage `json:"spec"`
	}
	if json.Unmarshal(policy, &in) != nil {
		return nil
	}
	var out []string
	for _, direction := range []string{"ingress", "egress"} {
		rules, blank := listOf(in.Spec, direction)
		if blank {
			out = append(out, "spec."+direction)
		}
		for i, rule := range rules {
			out = append(out, blanksOfRule(fmt.Sprintf("spec.%s[%d]", direction, i), rule)...)
		}
	}
	return out
}

func blanksOfRule(at string, rule map[string]json.RawMessage) (out []string) {
	for _, list := range []string{"from", "to", "ports"} {
		entries, blank := listOf(rule, list)
		if blank {
			out = append(out, at+"."+list)
		}
		for i, entry := range entries {
			if port, written := entry["port"]; list == "ports" && written && string(port) == "null" {
				out = append(out, fmt.Sprintf("%s.ports[%d].port", at, i))
			}
		}
	}
	return out
}

// listOf returns the entries of a list in an object, and reports whether the list is written without
// entries. It returns no entries if the field is not a list of objects.
func listOf(object map[string]json.RawMessage, field string) (entries []map[string]json.RawMessage, blank bool) {
	raw, written := object[field]
	if !written || json.Unmarshal(raw, &entries) != nil {
		return nil, false
	}
	return entries, len(entries) == 0
}
