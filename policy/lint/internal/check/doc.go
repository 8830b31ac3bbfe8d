// Package check contains the code that all checks of package lint share. A check reads the objects
// of a Cluster through a Pass, which limits the work of the check. The check reports findings,
// each for a place in a policy.
package check
