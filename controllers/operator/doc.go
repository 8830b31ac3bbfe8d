// Package operator runs the controllers of the packages enforcer, policystatus and liveness in
// one manager, once per cluster.
package operator
