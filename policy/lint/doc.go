// Package lint finds policies that are valid for the API server but probably do
// not do what their authors meant. Each check has its own file and is listed in
// the table checks, from which the table in docs/commands.md is generated.
//
// The checks use the model of package policy only: they never read a policy
// object. Like package policy, this package does no I/O.
package lint

//go:generate go run ../../hack/lintdocs ../../docs/commands.md
