// Package operator has the reconcilers that run once per cluster. They turn the
// Enforcer into the pods of the nodes, and tell by PolicyStatus and the
// Enforcer's status what the nodes enforce.
package operator
