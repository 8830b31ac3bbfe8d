// Package evaluation compares the output of `sluice evaluate` with the decisions of package
// reference. The tests of the command and of package query use package evaluation.
package evaluation
