// Package policystatus keeps one PolicyStatus for each NetworkPolicy: on which
// nodes the policy is enforced, and what lint finds in it.
//
//	NetworkPolicies, Pods --> which nodes need which policy   policies.go, observation.go
//	NodeEnforcers         --> what each node enforces         enforcement.go
//	all of them           --> lint findings                   findings.go
//	together              --> PolicyStatus                    status.go
//
// A node enforces the current version of a policy once its NodeEnforcer contains
// the resource versions of the policy and of the selected pods on the node.
// Status updates of nodes are frequent, so enforcement.go compares each of them
// with what policies wait for, and only affected policies are reconciled.
package policystatus
