// Package tiers contains test cases for the rows S70 to S84 of docs/semantics.md. Tests of the
// reference evaluator and tests of the compiled tree use the same cases. The objects and the
// expectations are written in the language of package test/stage. The text of a side is one of:
//
//	Accept Admin guard[0]          a rule of the Admin or of the Baseline tier decided
//	Deny Baseline floor[2]
//	Rule shop/p[0]                 a rule of a NetworkPolicy matched
//	Denied by shop/p shop/q        the named NetworkPolicies isolate the pod, and no rule matched
//	NotIsolated                    no tier decided; or SamePod, SameNode, External
//
// If Pass rules matched before, the text starts with these rules, such as
// "Pass Admin guard[0], NotIsolated".
package tiers

// Row is a test case. The objects do not change during the test.
type Row struct {
	// Name starts with the number of the row in docs/semantics.md.
	Name string
	// Objects is the input of stage.Objects, and Want is the input of stage.Expectations.
	Objects, Want string
}

// Rows returns all test cases.
func Rows() []Row { return append(orderRows(), matchRows()...) }
