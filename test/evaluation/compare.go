package evaluation

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
	"github.com/sluicenet/sluice/test/reference"
)

// line is one line of the output. This package does not use a type of package query to parse the
// output. It defines its own type, as any other program that reads the output must do.
type line struct {
	Verdict         string
	Egress, Ingress side
}

type side struct {
	Verdict, Reason, Tier string
	Policy                *string
	Rule                  *int
	IsolatedBy            []string
	Passed                []struct {
		Tier, Policy string
		Rule         int
	}
}

// Compare compares each line of the output of `sluice evaluate` with the decision of the reference
// about the flow of this line. It returns the number of flows about which the decisions differ. If
// there are such flows, the error describes the first of them. Compare also returns an error if
// the output is invalid.
func Compare(objects *cluster.Objects, flows []flow.Flow, output io.Reader) (different int, err error) {
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for _, f := range flows {
		if !lines.Scan() {
			return different, fmt.Errorf("no decision about %s: %w", f, lines.Err())
		}
		var got line
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
			return different, fmt.Errorf("decision about %s: %w", f, err)
		}
		want := reference.Evaluate(*objects, f)
		if got.Verdict == want.Verdict.String() && got.Egress.agrees(&want.Egress) && got.Ingress.agrees(&want.Ingress) {
			continue
		}
		if different++; err == nil {
			err = fmt.Errorf("%s: %s, want %+v\n%s", f, lines.Bytes(), want, objects)
		}
	}
	if lines.Scan() {
		return different, fmt.Errorf("a line too many: %s", lines.Bytes())
	}
	return different, err
}

// agrees reports whether the side is equal to a side of the reference. If several rules of
// NetworkPolicies match, the line can name any of them.
func (s *side) agrees(want *reference.Side) bool {
	if s.Verdict != want.Verdict.String() || s.Reason != want.Reason.String() || !slices.Equal(s.IsolatedBy, want.IsolatedBy) || !s.passesAgree(want) {
		return false
	}
	if want.Reason != rule.Matched {
		return s.Policy == nil && s.Rule == nil && s.Tier == ""
	}
	tier := want.Tier.String()
	if want.Tier == rule.NetworkPolicyTier {
		tier = ""
	}
	return s.Policy != nil && s.Rule != nil && s.Tier == tier && slices.Contains(want.Rules, reference.RuleRef{Policy: *s.Policy, Index: *s.Rule})
}

func (s *side) passesAgree(want *reference.Side) bool {
	var got, passes []string
	for _, p := range s.Passed {
		got = append(got, fmt.Sprintf("%s %s[%d]", p.Tier, p.Policy, p.Rule))
	}
	for _, p := range want.Passes {
		passes = append(passes, fmt.Sprintf("%s %s", p.Tier, p.RuleRef))
	}
	return slices.Equal(got, passes)
}
