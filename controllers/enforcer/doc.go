// Package enforcer reconciles the Enforcer: it runs agent and dataplane on the
// nodes, reports how far the nodes are, and removes everything again.
//
//	Enforcer --> rights, DaemonSet, Service, ServiceMonitor   objects.go, pod.go
//	         --> status, rolled up from nodes and pods         status.go
//	         --> nodes that it no longer selects               freeing.go
//	deleted  --> uninstallation, step by step                  uninstall.go
//
// Reconciliation is level-based. Every decision follows from what the API
// server has, so an operator that restarts continues where it stopped.
package enforcer
