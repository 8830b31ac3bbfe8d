// Package lint finds policies that are valid for the API server and probably do
// not do what their authors meant. Each check is in a file of its own and in the
// table Checks, from which the table in docs/commands.md is generated.
//
// The checks use the model of package policy only: they never read a policy
// object. Like package policy, this package does no I/O.
package lint

//go:generate go run ../../hack/lintdocs ../../docs/commands.md
