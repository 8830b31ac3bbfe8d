// Package check defines what a check of lint is. A check reads the objects of a Cluster through a Pass,
// which limits the work of the check, and reports findings about places in a policy.
package check
