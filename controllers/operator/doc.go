// Package operator starts the controllers that run once per cluster: those of
// packages enforcer and policystatus, in one manager.
package operator
