// Package e2e tests a whole node on real packets: policy objects become a
// published tree, the sluice binary enforces it as `sluice dataplane` in a node
// made of network namespaces, and sockets in pods find out who reaches whom.
//
//	          world, 192.168.126.254
//	         /                      \
//	node one: sluice dataplane     node two: no dataplane
//	 |    |    |                    |
//	pods, some of them isolated    pods that node one sees from afar
//
// Rows carry their number in docs/semantics.md: go test ./test/e2e -run
// Semantics/S33, or -run S50 for those that tell of a change.
package e2e
