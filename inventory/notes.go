package inventory

import (
	"fmt"
	"strings"
)

// namesShown is the maximum number of names that a note lists.
const namesShown = 5

// Notes returns one sentence for each category of input that the set does not contain:
// objects of other kinds, files without objects, and duplicates.
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
	if n := len(s.Duplicates); n > 0 {
		d := s.Duplicates[0]
		note := fmt.Sprintf("%s is in the input twice with the same content, at %s and %s", d.Object, d.First, d.Origin)
		if n > 1 {
			note += fmt.Sprintf("; so are %d other objects", n-1)
		}
		notes = append(notes, note+". Each counts once")
	}
	return notes
}

// NotEvaluatedKinds contains the kinds of policies that ClusterNetworkPolicy replaced. Sluice does
// not evaluate policies of these kinds.
var NotEvaluatedKinds = []string{"AdminNetworkPolicy", "BaselineAdminNetworkPolicy"}

// NotEvaluatedVersion is the API version of the kinds in NotEvaluatedKinds.
const NotEvaluatedVersion = "policy.networking.k8s.io/v1alpha1"

// notEvaluated returns the note about the policies of the kinds in NotEvaluatedKinds. Other
// programs may enforce these policies.
func (s *Set) notEvaluated() string {
	var kinds []string
	for _, k := range s.NotEvaluated {
		if k.Count == 0 {
			kinds = append(kinds, fmt.Sprintf("%s (you may not list them)", k.Kind))
		} else {
			kinds = append(kinds, fmt.Sprintf("%d %s", k.Count, k.Kind))
		}
	}
	return "not evaluated: " + strings.Join(kinds, ", ") + ". Sluice does not enforce these kinds of policies: convert them to ClusterNetworkPolicies"
}

// few joins the first names in a list and appends the number of remaining names.
func few(names []string) string {
	if len(names) > namesShown {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:namesShown], ", "), len(names)-namesShown)
	}
	return strings.Join(names, ", ")
}
