package lint

import (
	"fmt"

	"github.com/sluicenet/sluice/policy"
)

// twoDashes finds two adjacent peer entries, where one entry has only a namespaceSelector and
// the other entry has only a podSelector. The two entries allow pods that match either
// selector. The author may have meant a single entry with both selectors, which allows only
// pods that match both.
var twoDashes = Check{
	Name:       "two-dashes",
	Severities: []Severity{Warning, Note},
	Doc:        "`- namespaceSelector` and `- podSelector` as two entries, which allow pods that match either, if the author probably meant one entry with both; a note if the list has more entries",
	run: eachRule(func(p *pass, at place, r *policy.Rule) {
		for i := 0; i+1 < len(r.Peers); i++ {
			namespaces, pods := &r.Peers[i], &r.Peers[i+1]
			if onlyPods(namespaces) {
				namespaces, pods = pods, namespaces
			}
			if !onlyNamespaces(namespaces) || !onlyPods(pods) || pods.Pods.Empty() {
				continue
			}
			p.eitherOrBoth(at.peer(r, i+1), r, namespaces, pods)
			i++
		}
	}),
}

func (p *pass) eitherOrBoth(at place, r *policy.Rule, namespaces, pods *policy.Peer) {
	severity, why := p.suspicion(at.Scope, r, namespaces, pods)
	selected := "any label"
	if !namespaces.Namespaces.Empty() {
		selected = namespaces.Namespaces.String()
	}
	p.report(at, severity, "if both must hold, remove the second dash, so that namespaceSelector and podSelector are in one entry",
		"two entries: either any pod of namespaces with %s, or pods with %s in namespace %s%s", selected, pods.Pods, at.Scope, why)
}

// suspicion returns the severity of the finding, and a text for the end of its message. The
// severity is Warning in these cases:
//
//   - The entry with the namespaceSelector includes all pods of the entry with the podSelector.
//   - No pod matches the entry with the podSelector, but at least one pod matches both
//     selectors.
//   - The rule has no other entries.
//
// Otherwise the rule has more than two entries, and the severity is Note. Authors often list
// several separate clients in one rule, so they probably meant two separate entries.
func (c *cluster) suspicion(namespace string, r *policy.Rule, namespaces, pods *policy.Peer) (severity Severity, why string) {
	own := c.namespaces[namespace]
	if own != nil && namespaces.MatchesNamespace(namespace, own) {
		return Warning, "; the first covers the second, which therefore adds nothing"
	}
	if c.anyPod && len(c.podsOf(&pods.PodSet)) == 0 {
		if both := c.podsOf(&policy.PodSet{Namespaces: namespaces.Namespaces, Pods: pods.Pods}); len(both) > 0 {
			return Warning, fmt.Sprintf("; no pod matches the second part, but both selectors match %s", list(both))
		}
	}
	if len(r.Peers) == 2 {
		return Warning, ""
	}
	return Note, ""
}

func onlyPods(p *policy.Peer) bool {
	return !p.Invalid && p.Pods.Present() && !p.Namespaces.Present()
}

func onlyNamespaces(p *policy.Peer) bool {
	return !p.Invalid && p.Namespaces.Present() && !p.Pods.Present()
}
