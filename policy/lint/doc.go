// Package lint finds policies that the API server accepts but that probably do not do what
// their authors meant. Each check is in its own file. The variable checks lists all checks.
// The table of checks in docs/commands.md is generated from this variable.
//
// The checks read only the model of package policy, and never a NetworkPolicy object. Like
// package policy, this package performs no I/O.
package lint

//go:generate go run ../../hack/lintdocs ../../docs/commands.md
