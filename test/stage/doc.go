// Package stage implements a language for tests. In this language, a test describes the objects
// of a cluster, and which connections the policies of the cluster must allow or deny.
//
// Objects are written as a list in YAML, with one entry for each object:
//
//   - {namespace: shop, labels: {team: red}}
//   - {node: one}
//   - {pod: shop/web, node: one, labels: {app: web}, ports: [http:8080/TCP]}
//   - {policy: shop/deny, spec: {podSelector: {}}}
//   - {admin: guard, priority: 1, subject: {namespaces: {}}, egress: [{action: Deny, to: [{networks: [10.0.0.0/8]}]}]}
//   - {baseline: floor, subject: {namespaces: {}}, ingress: [{action: Deny, from: [{namespaces: {}}]}]}
//
// The entries with admin and baseline are ClusterNetworkPolicies of the Admin tier and of the
// Baseline tier.
//
// Expectations are lines of text. Each line contains a source, a destination, a protocol and a
// port, and the expected result:
//
//	shop/web -> shop/db TCP 5432  allowed
//	shop/*   -> lab/web UDP 53    denied
//	any      -> shop/db           denied
//	shop/web -> shop/db ICMP      | NotIsolated | Rule shop/p[0]
//
// The result is `allowed` or `denied`. Instead of the result, a line can contain the reasons of the
// egress side and of the ingress side, each after a vertical bar. A line without a protocol applies
// to all protocols and ports that the test tries. The source and the destination can be patterns
// for path.Match. The word `any` matches every source and destination. Each test documents which
// other names it accepts, such as node:one, and which address families it uses for the connections
// of a line.
package stage
