package lint

import (
	"fmt"
	"strings"

	"github.com/sluicenet/sluice/policy"
)

// podCount returns a text such as "1 pod" or "3 pods".
func podCount(n int) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}

// few joins words with commas. If there are more than five words, it replaces the remaining
// words with their number, as in "a, b, c, d, e and 2 more".
func few(words []string) string {
	const shown = 5
	if len(words) > shown {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:shown], ", "), len(words)-shown)
	}
	return strings.Join(words, ", ")
}

// shownPods is the number of pods that a text names.
const shownPods = 3

// examples is a number of pods, of which the first three are kept.
type examples struct {
	count int
	pods  []*policy.Pod
}

func (e *examples) add(pods ...*policy.Pod) {
	e.count += len(pods)
	e.pods = append(e.pods, pods[:min(len(pods), shownPods-len(e.pods))]...)
}

// String returns a text with the names of up to three pods and the number of remaining pods,
// such as "a/b, c/d, e/f and 2 more".
func (e *examples) String() string {
	names := make([]string, len(e.pods))
	for i, p := range e.pods {
		names[i] = p.Namespace + "/" + p.Name
	}
	text := strings.Join(names, ", ")
	if e.count > len(names) {
		text = fmt.Sprintf("%s and %d more", text, e.count-len(names))
	}
	return text
}

// detail sets the detail of a finding. In a run on one namespace, findings have no details,
// because the details change whenever pods start or end.
func (p *pass) detail(f *Finding, format string, args ...any) {
	if p.scope == ScopeCluster {
		f.Detail = fmt.Sprintf(format, args...)
	}
}
