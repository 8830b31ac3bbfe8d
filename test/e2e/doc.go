// Package e2e tests a whole node with real packets. Policy objects become a
// published tree, `sluice dataplane` enforces the tree in a node made of network
// namespaces, and sockets in pods try which connections can be opened.
//
//	          outside, 192.168.126.254
//	         /                      \
//	node one: sluice dataplane     node two: no dataplane
//	 |    |    |                    |
//	pods, some of them isolated    pods that are remote for node one
//
// The names of rows are their numbers in docs/semantics.md:
//
//	go test ./test/e2e -run Semantics/S33
//
// Rows about changes are separate tests, such as -run S50.
package e2e
