// Package evaluation compares the output of `sluice evaluate` with the decisions of package
// reference. Tests of the command and of package query use it.
package evaluation
