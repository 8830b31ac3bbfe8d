// Package check contains what all checks of package lint share. A check reads the objects of a
// Cluster through a Pass, which limits the work of the check. It reports findings about places in a
// policy.
package check
