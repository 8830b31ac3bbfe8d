package answer

import (
	"fmt"
	"net/http"
	"time"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/hits"
	"github.com/sluicenet/sluice/query/reach"
)

// ruleUse states how often a rule was used.
type ruleUse struct {
	Direction string `json:"direction"`
	// Rule is the index of the rule, or null for packets that no rule matched.
	Rule *int   `json:"rule"`
	Use  string `json:"use"`
}

func useOf(r *hits.Rule) ruleUse {
	out := ruleUse{r.Direction, r.Rule, r.Use.String()}
	if r.Rule == nil {
		out.Use = fmt.Sprintf("packets denied because no rule matched: %d since %s UTC", r.Count, r.Since.UTC().Format(time.DateTime))
	}
	return out
}

// uses answers how often the rules of a policy were used, on the nodes of the selected pods.
func (s *Server) uses(v *view, r *http.Request) (any, error) {
	p, err := v.policy(r.FormValue("name"))
	if err != nil {
		return nil, err
	}
	nodes := reach.Nodes(v.set, p.Policy)
	read, err := s.source.Hits(r.Context(), nodes)
	if err == nil {
		err = hits.FirstError(read)
	}
	if err != nil {
		return nil, err
	}
	h := hits.New([]*policy.Policy{p.Policy}, read, hits.Filter{}, time.Now())
	out := struct {
		query.TypeMeta
		// Missing states which nodes are not counted. It is empty if all nodes are counted.
		Missing string    `json:"missing,omitempty"`
		Rules   []ruleUse `json:"rules"`
	}{TypeMeta: query.NewTypeMeta("Uses"), Rules: []ruleUse{}}
	if without := max(len(nodes), len(read)) - h.Nodes; h.Nodes > 0 && without > 0 {
		out.Missing = fmt.Sprintf("%d of %d nodes are not counted", without, h.Nodes+without)
	}
	for i := range h.Rules {
		if one := &h.Rules[i]; h.Nodes > 0 && one.Applied > 0 {
			out.Rules = append(out.Rules, useOf(one))
		}
	}
	return out, nil
}
