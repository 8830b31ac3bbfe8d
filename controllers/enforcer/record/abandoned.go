package record

import (
	"slices"
	"strings"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// Abandoned returns the node names in the Enforcer's annotation AnnotationAbandon, sorted and
// without duplicates.
func Abandoned(enforcer *v1alpha1.Enforcer) []string {
	names := strings.FieldsFunc(enforcer.Annotations[v1alpha1.AnnotationAbandon], func(r rune) bool {
		return r == ',' || r == ' ' || r == '\n' || r == '\t'
	})
	slices.Sort(names)
	return slices.Compact(names)
}
