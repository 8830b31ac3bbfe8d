package hits

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/query"
)

// maxExplained is the maximum number of nodes that Explain requests.
const maxExplained = 8

// Explain adds to an explanation how often the deciding rules were used. For the egress side, it
// requests the counters of the source pod's node, and for the ingress side those of the destination
// pod's node. If some of the nodes do not respond, it returns their errors.
func Explain(ctx context.Context, s Source, e *query.Explanation) error {
	var names []string
	eachSide(e, func(node string, side *report.Side) {
		if node != "" && side.Fingerprint != "" && !slices.Contains(names, node) && len(names) < maxExplained {
			names = append(names, node)
		}
	})
	var errs []error
	uses := map[string]*Uses{}
	for _, n := range Read(ctx, s, names) {
		uses[n.Name] = NewUses([]Node{n})
		if n.Err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", n.Name, n.Err))
		}
	}
	eachSide(e, func(node string, side *report.Side) {
		u := uses[node]
		if u == nil || side.Fingerprint == "" {
			return
		}
		if use := u.use(side.Fingerprint); !use.Since.IsZero() {
			use.Node = node
			side.Use = &use
		}
	})
	return errors.Join(errs...)
}

// eachSide calls a function with the sides of an explanation, and with the names of the nodes that
// evaluate them.
func eachSide(e *query.Explanation, f func(node string, side *report.Side)) {
	f(e.From.Node, &e.Egress)
	f(e.To.Node, &e.Ingress)
	if e.OtherFamily != nil {
		eachSide(e.OtherFamily, f)
	}
	for i := range e.Backends {
		eachSide(&e.Backends[i], f)
	}
}
