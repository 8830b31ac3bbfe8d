package peers

import (
	"fmt"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// TwoDashes finds two adjacent peer entries, where one entry has only a namespaceSelector and
// the other entry has only a podSelector. The two entries allow pods that match either
// selector. The author may have meant a single entry with both selectors, which allows only
// pods that match both.
var TwoDashes = check.Check{
	Name:       "two-dashes",
	Severities: []check.Severity{check.Warning, check.Note},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	Doc:        "`namespaceSelector` and `podSelector` as two entries that were probably meant as one entry. If the list has other entries, the severity is usually `note`",
	Run: check.EachRule(func(p *check.Pass, at check.Place, r *policy.Rule) {
		if p.ClusterScoped() {
			return
		}
		for i := 0; i+1 < len(r.Peers); i++ {
			namespaces, pods := &r.Peers[i], &r.Peers[i+1]
			if onlyPods(namespaces) {
				namespaces, pods = pods, namespaces
			}
			if !onlyNamespaces(namespaces) || !onlyPods(pods) || pods.Pods.Empty() {
				continue
			}
			eitherOrBoth(p, at.Peer(i+1), r, namespaces, pods)
			i++
		}
	}),
}

func eitherOrBoth(p *check.Pass, at check.Place, r *policy.Rule, namespaces, pods *policy.Peer) {
	severity, why, both := suspicion(p, r, namespaces, pods)
	f := p.Find(at, severity)
	if f == nil {
		return
	}
	selected := "any label"
	if !namespaces.Namespaces.Empty() {
		selected = namespaces.Namespaces.String()
	}
	f.Message = fmt.Sprintf("two entries: either any pod of namespaces with %s, or pods with %s in namespace %s%s", selected, pods.Pods, p.Scope, why)
	f.Fix = "if both must hold, remove the second dash, so that namespaceSelector and podSelector are in one entry"
	if both.Count > 0 {
		p.Detail(f, "%s: %s", sample.PodCount(both.Count), &both)
	}
}

// suspicion returns the severity of the finding, and a text for the end of its message. The
// severity is Warning in these cases:
//
//   - The entry with the namespaceSelector includes all pods of the entry with the podSelector.
//   - No pod matches the entry with the podSelector, but at least one pod matches both selectors.
//     In this case, `both` contains the pods that match both.
//   - The rule has no other entries.
//
// Otherwise the rule has more than two entries, and the severity is Note. Authors often list
// several separate clients in one rule, so they probably meant two separate entries.
func suspicion(p *check.Pass, r *policy.Rule, namespaces, pods *policy.Peer) (severity check.Severity, why string, both sample.Pods) {
	if own := p.Namespace; own.Object != nil && p.MatchesSpace(&namespaces.PodSet, own) {
		return check.Warning, "; the first covers the second, which therefore adds nothing", both
	}
	if p.PodsKnown && !check.AnyPod(p.GroupsOf(&pods.PodSet)) {
		for g := range p.GroupsOf(&policy.PodSet{Namespaces: namespaces.Namespaces, Pods: pods.Pods}) {
			both.Add(g.Pods...)
		}
		if both.Count > 0 {
			return check.Warning, "; no pod matches the second part, but pods match both selectors", both
		}
	}
	if len(r.Peers) == 2 {
		return check.Warning, "", both
	}
	return check.Note, "", both
}

func onlyPods(p *policy.Peer) bool {
	return !p.Invalid && p.Pods.Present() && !p.Namespaces.Present()
}

func onlyNamespaces(p *policy.Peer) bool {
	return !p.Invalid && p.Namespaces.Present() && !p.Pods.Present()
}
