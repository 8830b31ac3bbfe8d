// Package peers contains the checks that compare the selectors and blocks of policies with pods and
// namespaces.
package peers
