// Package helm contains the tests of the Helm chart in charts/sluice. They use Helm's own
// libraries. The package is a separate Go module, because Helm has many dependencies.
package helm
