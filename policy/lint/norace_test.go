//go:build !race

package lint_test

// slowed is false because the race detector does not run.
const slowed = false
