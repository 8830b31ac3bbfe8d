package reference

import (
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// requirement is a condition on a label. Each entry of matchLabels becomes a requirement with
// operator In and one value.
type requirement struct {
	key      string
	operator metav1.LabelSelectorOperator
	values   []string
}

func requirementsOf(selector *metav1.LabelSelector) []requirement {
	var requirements []requirement
	for key, value := range selector.MatchLabels {
		requirements = append(requirements, requirement{key, metav1.LabelSelectorOpIn, []string{value}})
	}
	for _, e := range selector.MatchExpressions {
		requirements = append(requirements, requirement{e.Key, e.Operator, e.Values})
	}
	return requirements
}

// matches reports whether labels meet the requirement. Labels without the key meet NotIn and
// DoesNotExist (S07).
func (q requirement) matches(labels map[string]string) bool {
	value, present := labels[q.key]
	switch q.operator {
	case metav1.LabelSelectorOpIn:
		return present && slices.Contains(q.values, value)
	case metav1.LabelSelectorOpNotIn:
		return !present || !slices.Contains(q.values, value)
	case metav1.LabelSelectorOpExists:
		return present
	case metav1.LabelSelectorOpDoesNotExist:
		return !present
	default:
		return false
	}
}

// broken reports whether the requirement is invalid (S60). The API server rejects such
// requirements.
func (q requirement) broken() bool {
	if !validLabelKey(q.key) {
		return true
	}
	for _, value := range q.values {
		if value != "" && !validLabelName(value) {
			return true
		}
	}
	switch q.operator {
	case metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn:
		return len(q.values) == 0
	case metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist:
		return len(q.values) > 0
	default:
		return true
	}
}

func selectorMatches(selector *metav1.LabelSelector, labels map[string]string) bool {
	for _, q := range requirementsOf(selector) {
		if !q.matches(labels) {
			return false
		}
	}
	return true
}

// understoodPartMatches reports whether all valid requirements of a selector match. It ignores
// invalid requirements (S60).
func understoodPartMatches(selector *metav1.LabelSelector, labels map[string]string) bool {
	for _, q := range requirementsOf(selector) {
		if !q.broken() && !q.matches(labels) {
			return false
		}
	}
	return true
}

func brokenSelector(selector *metav1.LabelSelector) bool {
	return selector != nil && slices.ContainsFunc(requirementsOf(selector), requirement.broken)
}

var (
	labelName = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$`)
	dnsName   = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
)

// validLabelKey reports whether a key is a valid label key. A valid key is either a name, or a DNS
// name followed by a slash and a name.
func validLabelKey(key string) bool {
	prefix, name, prefixed := strings.Cut(key, "/")
	if !prefixed {
		return validLabelName(key)
	}
	return len(prefix) <= 253 && dnsName.MatchString(prefix) && validLabelName(name)
}

func validLabelName(name string) bool { return len(name) <= 63 && labelName.MatchString(name) }
