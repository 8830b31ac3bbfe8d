// Package sample formats the parts of messages: names of rules, and short texts about many pods or
// words.
package sample

import (
	"fmt"
	"strings"

	"github.com/sluicenet/sluice/policy"
)

// PodCount returns a text such as "1 pod" or "3 pods".
func PodCount(n int) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}

// Few joins words with commas. If there are more than five words, it lists the first five and the
// number of remaining words, as in "a, b, c, d, e and 2 more".
func Few(words []string) string {
	const shown = 5
	if len(words) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:shown], ", "), len(words)-shown)
	}
	return strings.Join(words, ", ")
}

// Shown is the number of pods that a text names.
const Shown = 3

// Pods contains a number of pods, and the first three of these pods.
type Pods struct {
	Count int
	pods  []*policy.Pod
}

// Add adds pods. It keeps only the pods that a text names.
func (e *Pods) Add(pods ...*policy.Pod) {
	e.Count += len(pods)
	e.pods = append(e.pods, pods[:min(len(pods), Shown-len(e.pods))]...)
}

// String returns a text with the names of up to three pods and the number of remaining pods,
// such as "a/b, c/d, e/f and 2 more".
func (e *Pods) String() string {
	names := make([]string, len(e.pods))
	for i, p := range e.pods {
		names[i] = p.String()
	}
	text := strings.Join(names, ", ")
	if e.Count > len(names) {
		text = fmt.Sprintf("%s and %d more", text, e.Count-len(names))
	}
	return text
}

// RuleName names a rule, such as ingress[0] or "monitoring" (ingress[0]).
func RuleName(r *policy.Rule) string {
	place := strings.TrimPrefix(r.Field, "spec.")
	if r.Name == "" {
		return place
	}
	return `"` + r.Name + `" (` + place + ")"
}
