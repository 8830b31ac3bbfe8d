package check

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
)

// Pass is one run of the checks on one policy.
type Pass struct {
	*Cluster
	*Policy
	// budget is the work that may still be done for the policy. The unit is about one
	// nanosecond.
	budget *int
	// Stopped is true if the budget did not suffice for the current check.
	Stopped bool
	check   *Check
	// tallies contains a tally of the current check for each severity, indexed by rank.
	tallies  [3]tally
	findings []Finding
	// incomplete lists the checks for which the budget was too small.
	incomplete []string
	// targets caches the last complete result of TargetsOf.
	targets *Targets
	errs    []error
}

// tally counts the places for which a check has a finding of one severity.
type tally struct {
	places int
	// last is the index of the last finding that was kept.
	last int
}

// Limits limits the time that lint uses and the number of findings that it keeps.
type Limits struct {
	// Places is the number of findings of one check and one severity that are kept for each
	// policy. Further places are only counted.
	Places int
	// Policy is the budget of each policy, and Total is the budget of all policies together.
	Policy, Total int
	// Brief is true if findings must have no details. Findings that are stored in statuses have no
	// details, because details change whenever pods start or end.
	Brief bool
}

// Spend must be called before a check does work that takes the given time in nanoseconds. Spend
// subtracts the work from the budget and returns true. If the budget does not suffice, Spend stops
// the check and returns false. The check must then skip the work and return soon. Functions of a
// stopped check may return wrong results, because the check adds no more findings.
func (p *Pass) Spend(work int) bool {
	if p.Stopped = p.Stopped || *p.budget < work; p.Stopped {
		return false
	}
	*p.budget -= work
	return true
}

// Run runs the checks on some policies of the cluster. The findings of a policy are in the order of its
// fields. The errors describe checks that panicked.
func (c *Cluster) Run(checks []Check, policies []*Policy) (findings []Finding, errs []error) {
	c.index()
	for _, s := range policies {
		found, failed := c.checkPolicy(checks, s)
		findings, errs = append(findings, found...), append(errs, failed...)
	}
	return findings, errs
}

// checkPolicy runs the checks on one policy.
func (c *Cluster) checkPolicy(checks []Check, s *Policy) ([]Finding, []error) {
	granted := min(c.limits.Policy, c.left)
	left := granted
	p := &Pass{Cluster: c, Policy: s, budget: &left}
	for i := range checks {
		if checks[i].Run != nil && checks[i].Scopes[0] <= c.RunScope {
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
func (p *Pass) run(check *Check) {
	p.begin(check)
	defer func() {
		if fault := recover(); fault != nil {
			p.errs = append(p.errs, fmt.Errorf("check %s of policy %s: panic: %v\n%s", check.Name, p.name, fault, debug.Stack()))
			p.reportFailure(check)
		}
	}()
	if check.Run(p); p.Stopped {
		p.incomplete = append(p.incomplete, check.Name)
	}
}

// begin prepares the pass for findings of a check.
func (p *Pass) begin(check *Check) { p.check, p.tallies, p.Stopped = check, [3]tally{}, false }

// Find adds a finding of the current check to the result and returns it, so that the caller can
// set the message. If the check already has enough findings of this severity for the policy,
// Find counts the place and returns nil. If the check is stopped, Find only returns nil.
func (p *Pass) Find(at Place, severity Severity) *Finding {
	if p.Stopped {
		return nil
	}
	uncertain := p.Partial && p.check.ByAbsence && severity == Warning
	if uncertain {
		severity = Note
	}
	t := &p.tallies[severity.rank()]
	t.places++
	if t.places > p.limits.Places {
		p.findings[t.last].More++
		return nil
	}
	t.last = len(p.findings)
	p.findings = append(p.findings, Finding{
		Severity: severity, Check: p.check.Name, Policy: p.name, Namespace: p.Scope, Field: at.String(), Uncertain: uncertain, order: at.order,
	})
	return &p.findings[t.last]
}

// Report adds a finding with the given texts. The parameters `format` and `args` contain the
// message. If the message already contains the fix, the `fix` parameter is empty. A check that
// computes the texts from many objects calls Find instead.
func (p *Pass) Report(at Place, severity Severity, fix, format string, args ...any) {
	if f := p.Find(at, severity); f != nil {
		f.Message, f.Fix = fmt.Sprintf(format, args...), fix
	}
}

// TooLarge is the check too-large.
var TooLarge = Check{
	Name:       "too-large",
	Severities: []Severity{Note},
	Scopes:     []Scope{ScopeNamespace, ScopeCluster},
	Doc:        "a policy for which some checks would take too long. The message names these checks",
}

// reportIncomplete adds a finding that lists the checks for which the budget was too small.
func (p *Pass) reportIncomplete(granted int) {
	if len(p.incomplete) == 0 {
		return
	}
	what := "the policy is too large to check"
	if granted < p.limits.Policy {
		what = "the policies that are checked together are too large to check"
	}
	p.begin(&TooLarge)
	fix := "split the policy into smaller policies"
	if p.limits.Brief {
		fix += ", or run sluice lint, which takes more time"
	}
	p.Report(Outside("spec", EndPart), Note, fix, "%s: not completed: %s", what, strings.Join(p.incomplete, ", "))
}

// Failed is the check check-failed.
var Failed = Check{
	Name:       "check-failed",
	Severities: []Severity{Note},
	Scopes:     []Scope{ScopePolicy},
	Doc:        "a policy for which a check failed because of an error in Sluice. The message names the check",
}

func (p *Pass) reportFailure(check *Check) {
	p.begin(&Failed)
	p.Report(Outside("spec", EndPart), Note, "report the policy as a bug of Sluice", "the check %s failed because of an internal error", check.Name)
}

// On returns a pass that reads another policy and uses the budget of this pass.
func (p *Pass) On(other *Policy) *Pass {
	return &Pass{Cluster: p.Cluster, Policy: other, budget: p.budget}
}

// Detail sets the detail of a finding, if the run reports details.
func (p *Pass) Detail(f *Finding, format string, args ...any) {
	if !p.limits.Brief {
		f.Detail = fmt.Sprintf(format, args...)
	}
}
