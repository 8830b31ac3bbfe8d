// Package query answers questions about policies:
//
//	Explanation  whether a flow is allowed, and why
//	Matrix       which pods can open connections to each other
//	LintReport   which policies probably differ from their author's intent
//
// Each answer is a Go value with a method WriteText, which writes the answer as
// human-readable text. In JSON, an answer has the apiVersion query.sluice.dev/v1alpha1 and a
// kind, such as Explanation.
//
// A Cluster answers questions about a set of objects. It compiles, publishes and maps the
// same trees as a node does, and evaluates flows with the same function. If a question is
// invalid, the error is an *InputError. Package status states what a node or a cluster enforces.
package query
