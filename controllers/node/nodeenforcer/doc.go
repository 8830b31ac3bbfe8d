// Package nodeenforcer computes and writes the NodeEnforcer of a node: the object in which the
// agent reports what the node enforces.
package nodeenforcer
