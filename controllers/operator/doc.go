// Package operator runs the controllers of the packages enforcer and policystatus in one
// manager, once per cluster.
package operator
