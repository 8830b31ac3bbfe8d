package inventory

import (
	"fmt"
	"slices"
	"strings"
)

// namesShown is the maximum number of names that a note lists.
const namesShown = 5

// Notes returns one sentence for each category of objects and files in the input that are not part
// of the set: objects of other kinds, files without objects, and duplicates.
func (s *Set) Notes() []string {
	var notes []string
	if len(s.Skipped) > 0 {
		var kinds []string
		for _, k := range s.Skipped {
			kinds = append(kinds, fmt.Sprintf("%d %s", k.Count, k.Kind))
		}
		notes = append(notes, "skipped kinds that do not affect policies: "+strings.Join(kinds, ", "))
	}
	if len(s.NotEvaluated) > 0 {
		notes = append(notes, s.notEvaluated())
	}
	if len(s.SkippedFiles) > 0 {
		notes = append(notes, "skipped files without Kubernetes objects: "+few(s.SkippedFiles))
	}
	if len(s.NotListed) > 0 {
		notes = append(notes, fmt.Sprintf("you may not list %s in this cluster, so answers about Services and workloads are incomplete", strings.Join(s.NotListed, ", ")))
	}
	notes = append(notes, s.duplicates(false, "the same content", "Each counts once")...)
	return append(notes, s.duplicates(true, "different content", "The first one counts")...)
}

// duplicates returns a note about the duplicates whose field Differs equals the `differ`
// parameter. If there are no such duplicates, the result is empty.
func (s *Set) duplicates(differ bool, content, effect string) []string {
	var found []Duplicate
	for _, d := range s.Duplicates {
		if d.Differs == differ {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		return nil
	}
	d := found[0]
	note := fmt.Sprintf("%s is in the input twice with %s, at %s and %s", d.Object, content, d.First, d.Origin)
	if n := len(found); n > 1 {
		note += fmt.Sprintf("; so are %d other objects", n-1)
	}
	return []string{note + ". " + effect}
}

// NotEvaluatedKinds contains the kinds of policies that ClusterNetworkPolicy replaced. Sluice does
// not evaluate policies of these kinds.
var NotEvaluatedKinds = []string{"AdminNetworkPolicy", "BaselineAdminNetworkPolicy"}

// NotEvaluatedVersion is the API version of the kinds in NotEvaluatedKinds.
const NotEvaluatedVersion = "policy.networking.k8s.io/v1alpha1"

// OtherPolicies contains the kinds of policies that only other policy engines evaluate. Resource
// is the name of the kind in URLs.
var OtherPolicies = []struct{ Group, Kind, Resource string }{
	{"cilium.io", "CiliumNetworkPolicy", "ciliumnetworkpolicies"},
	{"cilium.io", "CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies"},
	{"crd.projectcalico.org", "NetworkPolicy", "networkpolicies"},
	{"crd.projectcalico.org", "GlobalNetworkPolicy", "globalnetworkpolicies"},
	{"projectcalico.org", "NetworkPolicy", ""}, // The same objects as in crd.projectcalico.org.
	{"projectcalico.org", "GlobalNetworkPolicy", ""},
	{"crd.antrea.io", "NetworkPolicy", "networkpolicies"},
	{"crd.antrea.io", "ClusterNetworkPolicy", "clusternetworkpolicies"},
	{"k8s.ovn.org", "EgressFirewall", "egressfirewalls"},
	{"networking.gke.io", "FQDNNetworkPolicy", "fqdnnetworkpolicies"},
	{"networking.k8s.aws", "ApplicationNetworkPolicy", "applicationnetworkpolicies"},
	{"security.istio.io", "AuthorizationPolicy", "authorizationpolicies"},
	{"policy.linkerd.io", "AuthorizationPolicy", "authorizationpolicies"},
}

// NotEvaluatedName returns the name under which Set.NotEvaluated counts policies of a kind that
// Sluice does not evaluate. For all other kinds, ok is false.
func NotEvaluatedName(apiVersion, kind string) (name string, ok bool) {
	group, _, _ := strings.Cut(apiVersion, "/")
	tiers, _, _ := strings.Cut(NotEvaluatedVersion, "/")
	if group == tiers && slices.Contains(NotEvaluatedKinds, kind) {
		return kind, true
	}
	for _, o := range OtherPolicies {
		if o.Group == group && o.Kind == kind {
			return fmt.Sprintf("%s (%s)", kind, group), true
		}
	}
	return "", false
}

// notEvaluated returns the note about the policies that Sluice does not evaluate. Other programs
// may enforce these policies.
func (s *Set) notEvaluated() string {
	var kinds []string
	advice := ""
	for _, k := range s.NotEvaluated {
		if k.Count == 0 {
			kinds = append(kinds, fmt.Sprintf("%s (you may not list them)", k.Kind))
		} else {
			kinds = append(kinds, fmt.Sprintf("%d %s", k.Count, k.Kind))
		}
		if slices.Contains(NotEvaluatedKinds, k.Kind) {
			advice = "; convert AdminNetworkPolicies to ClusterNetworkPolicies"
		}
	}
	return "not evaluated: " + strings.Join(kinds, ", ") + ". Sluice does not enforce these kinds of policies" + advice
}

// few joins the first names in a list and appends the number of remaining names.
func few(names []string) string {
	if len(names) > namesShown {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:namesShown], ", "), len(names)-namesShown)
	}
	return strings.Join(names, ", ")
}
