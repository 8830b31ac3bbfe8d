// Package text contains the checks that read only the policy itself.
package text
