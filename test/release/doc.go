// Package release contains the test of `make release`. The test builds a release in two clones,
// compares and verifies the artefacts, and installs them on real API servers.
package release
