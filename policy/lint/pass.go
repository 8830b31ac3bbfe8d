package lint

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
)

// pass is one run of the checks on one policy.
type pass struct {
	*cluster
	*subject
	// budget is the work that may still be done for the policy. The unit is about one
	// nanosecond.
	budget *int
	// stopped is true if the budget did not suffice for the current check.
	stopped bool
	check   string
	// tallies contains a tally of the current check for each severity, indexed by rank.
	tallies  [3]tally
	findings []Finding
	// incomplete lists the checks for which the budget was too small.
	incomplete []string
	// targets caches the last complete result of targetsOf.
	targets *targets
	errs    []error
}

// tally counts the places for which a check has a finding of one severity.
type tally struct {
	places int
	// last is the index of the last finding that was kept.
	last int
}

// limits bounds what lint does and keeps.
type limits struct {
	// places is the number of findings of one check and one severity that are kept for each
	// policy. Further places are only counted.
	places int
	// policy is the budget of each policy, and total is the budget of all policies together.
	policy, total int
}

// spend subtracts work from the budget, and reports whether the budget suffices. If it does not,
// the current check is stopped: it must not do the work, and should return soon. A stopped check
// adds no findings, so it may return wrong results from its functions.
func (p *pass) spend(work int) bool {
	if p.stopped = p.stopped || *p.budget < work; p.stopped {
		return false
	}
	*p.budget -= work
	return true
}

// checkPolicy runs all checks on one policy. The findings are in the order of the policy's
// fields. The errors describe checks that panicked.
func (c *cluster) checkPolicy(s *subject) ([]Finding, []error) {
	granted := min(c.limits.policy, c.left)
	left := granted
	p := &pass{cluster: c, subject: s, budget: &left}
	for i := range checks {
		if checks[i].run != nil && checks[i].Scopes[0] <= c.scope {
			p.run(&checks[i])
		}
	}
	c.left -= granted - left
	p.reportIncomplete(granted)
	slices.SortStableFunc(p.findings, func(a, b Finding) int { return a.order.compare(b.order) })
	for i := range p.findings {
		p.findings[i].shorten()
	}
	return p.findings, p.errs
}

// run runs one check. A check that panics does not affect the other checks.
func (p *pass) run(check *Check) {
	p.begin(check)
	defer func() {
		if fault := recover(); fault != nil {
			p.errs = append(p.errs, fmt.Errorf("check %s of policy %s: panic: %v\n%s", check.Name, p.name, fault, debug.Stack()))
			p.reportFailure(check)
		}
	}()
	if check.run(p); p.stopped {
		p.incomplete = append(p.incomplete, check.Name)
	}
}

// begin prepares the pass for findings of a check.
func (p *pass) begin(check *Check) { p.check, p.tallies, p.stopped = check.Name, [3]tally{}, false }

// find adds a finding of the current check to the result and returns it, so that the caller can
// set the message. If the check already has enough findings of this severity for the policy,
// find counts the place and returns nil. If the check is stopped, find only returns nil.
func (p *pass) find(at place, severity Severity) *Finding {
	if p.stopped {
		return nil
	}
	t := &p.tallies[severity.rank()]
	t.places++
	if t.places > p.limits.places {
		p.findings[t.last].More++
		return nil
	}
	t.last = len(p.findings)
	p.findings = append(p.findings, Finding{
		Severity: severity, Check: p.check, Policy: p.name, Namespace: p.Scope, Field: at.String(), order: at.order,
	})
	return &p.findings[t.last]
}

// report adds a finding with the given texts. The parameters format and args contain the
// message. If the message already contains the fix, the `fix` parameter is empty. A check that
// computes the texts from many objects calls find instead.
func (p *pass) report(at place, severity Severity, fix, format string, args ...any) {
	if f := p.find(at, severity); f != nil {
		f.Message, f.Fix = fmt.Sprintf(format, args...), fix
	}
}

var tooLarge = Check{
	Name:       "too-large",
	Severities: []Severity{Note},
	Scopes:     []Scope{ScopeNamespace, ScopeCluster},
	Doc:        "a policy for which some checks would take too long. The message names these checks",
}

// reportIncomplete adds a finding that lists the checks for which the budget was too small.
func (p *pass) reportIncomplete(granted int) {
	if len(p.incomplete) == 0 {
		return
	}
	what := "the policy is too large to check"
	if granted < p.limits.policy {
		what = "the policies that are checked together are too large to check"
	}
	p.begin(&tooLarge)
	fix := "split the policy into smaller policies"
	if p.scope == ScopeNamespace {
		fix += ", or run sluice lint, which takes more time"
	}
	p.report(outside("spec", endPart), Note, fix, "%s: not completed: %s", what, strings.Join(p.incomplete, ", "))
}

var checkFailed = Check{
	Name:       "check-failed",
	Severities: []Severity{Note},
	Scopes:     []Scope{ScopePolicy},
	Doc:        "a policy for which a check failed because of an error in Sluice. The message names the check",
}

func (p *pass) reportFailure(check *Check) {
	p.begin(&checkFailed)
	p.report(outside("spec", endPart), Note, "report the policy as a bug of Sluice", "the check %s failed because of an internal error", check.Name)
}

// detail sets the detail of a finding. In a run on one namespace, findings have no details,
// because the details change whenever pods start or end.
func (p *pass) detail(f *Finding, format string, args ...any) {
	if p.scope == ScopeCluster {
		f.Detail = fmt.Sprintf(format, args...)
	}
}
