package ports

import (
	"fmt"
	"slices"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
)

// ServicePort finds ports of Services where the port of the pods is needed.
var ServicePort = check.Check{
	Name:       "service-port",
	Severities: []check.Severity{check.Warning},
	Scopes:     []check.Scope{check.ScopeCluster},
	Doc:        "a rule that lists the port of a Service instead of the port of its pods",
	Run: eachNumber(func(p *check.Pass, at check.Place, port *policy.Port, u *usage) {
		if u.service == nil || allowsTarget(at.Rule, port, u) {
			return
		}
		kind := "port"
		if port.First != u.port.Number {
			kind = "node port"
		}
		p.Report(at, check.Warning, fmt.Sprintf("write port: %s, the port of the pods", targetText(u)),
			"%s %d is the %s of Service %s, which translates it to %s %d of the pods: policies apply to the port of the pods, so that connections to the Service do not match this entry",
			port.Protocol, port.First, kind, u.service, port.Protocol, u.target)
	}),
}

// targetText returns the port of the pods as the Service specifies it: its name or its number.
func targetText(u *usage) string {
	if u.port.TargetName != "" {
		return u.port.TargetName
	}
	return fmt.Sprint(u.target)
}

// allowsTarget reports whether a rule lists the port of the pods in addition to the port of the
// Service.
func allowsTarget(r *policy.Rule, port *policy.Port, u *usage) bool {
	return slices.ContainsFunc(r.Ports, func(q policy.Port) bool {
		return q.Protocol == port.Protocol && (q.Contains(u.target) || q.Name != "" && q.Name == u.port.TargetName)
	})
}
