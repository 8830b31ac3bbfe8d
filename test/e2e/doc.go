// Package e2e tests a whole node with real packets. A test compiles policy objects into a tree,
// and publishes the tree. `sluice dataplane` enforces the tree on a simulated node, which consists
// of network namespaces. The test then checks which connections the pods can open.
//
//	          outside, 192.168.126.254
//	         /                      \
//	node one: sluice dataplane     node two: no dataplane
//	 |    |    |                    |
//	pods, some of them isolated    pods that are remote to node one
//
// Tests are named after the rows of docs/semantics.md. This command tests row S33:
//
//	go test ./test/e2e -run Semantics/S33
//
// Rows about changes have separate tests, which a pattern such as -run S50 selects.
package e2e
