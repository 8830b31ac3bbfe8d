package cluster

import "github.com/sluicenet/sluice/api/v1alpha1"

// ReportOf returns the report in a NodeEnforcer.
func ReportOf(n *v1alpha1.NodeEnforcer) Report {
	return Report{Problem: n.NotEnforcing(), Enforced: n.Status.Enforced}
}

// noReport returns the report of a node without a NodeEnforcer.
func noReport() Report { return ReportOf(&v1alpha1.NodeEnforcer{}) }
