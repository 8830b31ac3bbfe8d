package ports

import (
	"fmt"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/lint/internal/check"
	"github.com/sluicenet/sluice/policy/lint/internal/sample"
)

// UndeclaredPort finds port numbers that no container of the destination pods declares. Containers can
// listen on ports that they do not declare, so a finding is only a note.
var UndeclaredPort = check.Check{
	Name:       "undeclared-port",
	Severities: []check.Severity{check.Note},
	Scopes:     []check.Scope{check.ScopeNamespace, check.ScopeCluster},
	Doc:        "a port number that the destination pods do not declare, although they declare other ports",
	Run: eachNumber(func(p *check.Pass, at check.Place, port *policy.Port, u *usage) {
		if p.ClusterScoped() || u.service != nil {
			return
		}
		if f := p.Find(at, check.Note); f != nil {
			f.Message = fmt.Sprintf("no pod %s declares %s; they declare %s", whose(at.Rule), portText(port), declared(u.targets))
			f.Fix = "compare the port with the ports on which the containers listen"
		}
	}),
}

// portText describes a port or a range of ports, such as "TCP 80" or "a port of TCP 8000-9000".
func portText(p *policy.Port) string {
	if p.First == p.Last {
		return p.String()
	}
	return "a port of " + p.String()
}

// The function `declared` lists the ports that the pods of some groups declare, in ascending order.
func declared(groups []*check.Group) string {
	var all []policy.ContainerPort
	for _, g := range groups {
		for protocol, number := range g.DeclaredPorts.All() {
			all = append(all, policy.ContainerPort{Protocol: protocol, Number: number})
		}
	}
	var texts []string
	for protocol, number := range policy.PortSetOf(all...).All() {
		texts = append(texts, fmt.Sprintf("%s %d", protocol, number))
	}
	return sample.Few(texts)
}
