//go:build race

package lint_test

// slowed is true because the race detector multiplies the time and the memory of a test.
const slowed = true
