// Package lint finds policies that the API server accepts but that probably do not do what
// their authors meant. Each check is in its own file. The table checks lists all checks,
// and the table in docs/commands.md is generated from it.
//
// The checks read only the model of package policy, never a NetworkPolicy object. Like
// package policy, this package does no I/O.
package lint

//go:generate go run ../../hack/lintdocs ../../docs/commands.md
