// Package operator runs the controllers of packages enforcer and policystatus in one
// manager. They run once per cluster.
package operator
