// Package enforcer reconciles the Enforcer object. It runs the agent and the dataplane on
// the selected nodes, reports which nodes enforce policies, and uninstalls everything when
// the Enforcer is deleted.
//
//	Enforcer --> rights, DaemonSet, Service, ServiceMonitor   desired, apply
//	         --> status, rolled up from nodes and pods         status.go
//	         --> nodes that it no longer selects               freeing.go
//	         --> nodes with the startup taint                  startup.go
//	deleted  --> uninstallation, step by step                  uninstall.go
//
// Reconciliation is level-based. Every decision depends only on objects in the API server,
// so an operator that restarts continues where it stopped.
package enforcer
