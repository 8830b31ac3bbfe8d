package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/policy/read"
)

// apiVersions contains the API versions of each kind that this package reads. The first version is
// the version that messages suggest.
var apiVersions = map[string][]string{
	"Pod":                   {"v1"},
	"Namespace":             {"v1"},
	"Node":                  {"v1"},
	"NetworkPolicy":         {"networking.k8s.io/v1"},
	"ClusterNetworkPolicy":  clusterPolicyVersions(),
	"Service":               {"v1"},
	"Endpoints":             {"v1"},
	"EndpointSlice":         {"discovery.k8s.io/v1", "discovery.k8s.io/v1beta1"},
	"Deployment":            {"apps/v1", "apps/v1beta2", "apps/v1beta1", "extensions/v1beta1"},
	"StatefulSet":           {"apps/v1", "apps/v1beta2", "apps/v1beta1"},
	"DaemonSet":             {"apps/v1", "apps/v1beta2", "extensions/v1beta1"},
	"ReplicaSet":            {"apps/v1", "apps/v1beta2", "extensions/v1beta1"},
	"ReplicationController": {"v1"},
	"Job":                   {"batch/v1"},
	"CronJob":               {"batch/v1", "batch/v1beta1"},
}

func clusterPolicyVersions() []string {
	out := make([]string, len(read.Versions))
	for i, version := range read.Versions {
		out[i] = read.Group + "/" + version
	}
	return out
}

func isList(kind string) bool {
	return kind == "List" || itemKind(kind) != ""
}

// itemKind returns the default kind of the items in a list, such as Pod for PodList. For
// lists whose items must specify their kind, such as List, it returns "".
func itemKind(list string) string {
	kind, ok := strings.CutSuffix(list, "List")
	if _, read := apiVersions[kind]; ok && read {
		return kind
	}
	return ""
}

// classify reports whether this package reads objects with the given API version and kind. If
// this package does not read them, but the author probably meant a kind that it reads,
// message explains the mistake.
func classify(apiVersion, kind string) (read bool, message string) {
	versions, read := apiVersions[kind]
	want := ""
	if read {
		want = versions[0]
	}
	switch {
	case kind == "":
		return false, "kind: missing; write the kind of the object, such as kind: NetworkPolicy"
	case !read && strings.ContainsFunc(kind, notInKind):
		return false, fmt.Sprintf("kind: %q is not a kind", kind)
	case !read:
		return false, misspelled(apiVersion, kind)
	case slices.Contains(versions, apiVersion):
		return true, ""
	case apiVersion == "":
		return false, fmt.Sprintf("apiVersion: missing; write apiVersion: %s", want)
	case sameGroup(apiVersion, want), kind == "NetworkPolicy" && (sameGroup(apiVersion, "extensions/") || sameGroup(apiVersion, "v1")):
		return false, fmt.Sprintf("apiVersion: %q is not served by any supported Kubernetes; write apiVersion: %s", apiVersion, want)
	default:
		return false, ""
	}
}

// notInKind reports whether a character cannot be part of the name of a kind.
func notInKind(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9')
}

// misspelled returns a message if the given kind differs only in upper and lower case from a kind
// that this package reads. Both kinds must be in the same API group.
func misspelled(apiVersion, kind string) string {
	for _, right := range slices.Sorted(maps.Keys(apiVersions)) {
		if strings.EqualFold(kind, right) && (apiVersion == "" || sameGroup(apiVersion, apiVersions[right][0])) {
			return fmt.Sprintf("kind: %q does not exist; write kind: %s", kind, right)
		}
	}
	return ""
}

// sameGroup reports whether two API versions belong to the same API group. An API version
// without a slash, such as v1, belongs to the core group.
func sameGroup(a, b string) bool {
	groupA, _, namedA := strings.Cut(a, "/")
	groupB, _, namedB := strings.Cut(b, "/")
	return namedA == namedB && (!namedA || groupA == groupB)
}

// skippedName returns the kind of a skipped object. If this package reads a kind with the same name
// in another API group, skippedName appends the API version. For example, Calico has its own
// NetworkPolicy kind.
func skippedName(apiVersion, kind string) string {
	if _, read := apiVersions[kind]; read {
		return fmt.Sprintf("%s (%s)", kind, apiVersion)
	}
	return kind
}
