package manifest

import (
	"fmt"
	"strings"
)

// apiVersions are the kinds that count and where they come from.
var apiVersions = map[string]string{
	"Pod":           "v1",
	"Namespace":     "v1",
	"Node":          "v1",
	"NetworkPolicy": "networking.k8s.io/v1",
}

func isList(kind string) bool {
	return kind == "List" || itemKind(kind) != ""
}

// itemKind gives the kind that the items of a list have unless they say so
// themselves, "" where they must.
func itemKind(list string) string {
	kind, ok := strings.CutSuffix(list, "List")
	if _, counts := apiVersions[kind]; ok && counts {
		return kind
	}
	return ""
}

// classify says whether the kind counts. A message means that it was probably
// meant to and cannot be taken.
func classify(apiVersion, kind string) (known bool, message string) {
	want, counts := apiVersions[kind]
	group, _, hasGroup := strings.Cut(apiVersion, "/")
	wantGroup, _, wantHasGroup := strings.Cut(want, "/")
	switch {
	case kind == "":
		return false, "kind: missing; write what the object is, such as kind: NetworkPolicy"
	case !counts:
		return false, ""
	case apiVersion == want:
		return true, ""
	case apiVersion == "":
		return false, fmt.Sprintf("apiVersion: missing; write apiVersion: %s", want)
	case hasGroup == wantHasGroup && (!hasGroup || group == wantGroup), kind == "NetworkPolicy" && (group == "extensions" || !hasGroup):
		return false, fmt.Sprintf("apiVersion: %q is not served by any supported Kubernetes; write apiVersion: %s", apiVersion, want)
	default:
		return false, ""
	}
}

// skippedName tells a kind of another API group that has the name of one that
// counts, such as Calico's NetworkPolicy.
func skippedName(apiVersion, kind string) string {
	if _, counts := apiVersions[kind]; counts {
		return fmt.Sprintf("%s (%s)", kind, apiVersion)
	}
	return kind
}
