// Package operator runs the controllers of packages enforcer and policystatus in one manager,
// once per cluster.
package operator
