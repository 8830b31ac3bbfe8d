// Package policystatus maintains one PolicyStatus for each NetworkPolicy. The PolicyStatus
// reports on which nodes the policy is enforced, and what lint found in the policy.
//
//	NetworkPolicies, Pods             --> which nodes need which policy   policies.go, observation.go
//	NodeEnforcers                     --> what each node enforces         enforcement.go
//	NetworkPolicies, Pods, Namespaces --> lint findings                   findings.go, findings
//	the three results                 --> PolicyStatus                    status.go
//
// A node enforces the current version of a policy once its NodeEnforcer contains the
// resource versions of the policy and of the selected pods on the node. Nodes update their
// statuses often. The enforcement index therefore compares each update with the versions
// that policies wait for, so that only affected policies are reconciled.
package policystatus
