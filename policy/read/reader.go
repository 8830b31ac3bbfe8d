// Package read converts policy objects of the API to the parsed form in package policy.
package read

import (
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/internal/field"
	"github.com/sluicenet/sluice/policy/label"
)

// reader reads the parts that all kinds of policies have in common, and collects errors.
type reader struct{ errors policy.FieldErrors }

// ruleFields contains the paths of the first eight rules in each direction. Nearly all
// policies share these strings.
var ruleFields = func() (out [2][8]string) {
	for d := range out {
		for i := range out[d] {
			out[d][i] = fmt.Sprintf("spec.%s[%d]", rule.Direction(d), i)
		}
	}
	return out
}()

func ruleField(d rule.Direction, index int) string {
	if index < len(ruleFields[d]) {
		return ruleFields[d][index]
	}
	return fmt.Sprintf("spec.%s[%d]", d, index)
}

// selector reads a label selector. It skips requirements that cannot be understood. If it
// skipped at least one requirement, valid is false.
func (r *reader) selector(at field.Path, in *metav1.LabelSelector) (out label.Selector, valid bool) {
	valid = true
	var requirements []label.Requirement
	add := func(at field.Path, key string, op selection.Operator, values []string) {
		if _, err := labels.NewRequirement(key, op, values); err != nil {
			r.errors.Add(at.String(), "%s", requirementFault(key, op, values, err))
			valid = false
			return
		}
		requirements = append(requirements, label.Requirement{Key: key, Operator: op, Values: values})
	}
	for _, key := range slices.Sorted(maps.Keys(in.MatchLabels)) {
		add(at.Child("matchLabels["+key+"]"), key, selection.Equals, []string{in.MatchLabels[key]})
	}
	for i, e := range in.MatchExpressions {
		op, known := selectorOperators[e.Operator]
		at := at.Child(fmt.Sprintf("matchExpressions[%d]", i))
		if !known {
			r.errors.Add(at.Child("operator").String(), "%s", operatorFault(string(e.Operator)))
			valid = false
			continue
		}
		add(at, e.Key, op, e.Values)
	}
	return label.NewSelector(requirements), valid
}

var selectorOperators = map[metav1.LabelSelectorOperator]selection.Operator{
	metav1.LabelSelectorOpIn:           selection.In,
	metav1.LabelSelectorOpNotIn:        selection.NotIn,
	metav1.LabelSelectorOpExists:       selection.Exists,
	metav1.LabelSelectorOpDoesNotExist: selection.DoesNotExist,
}
