// Package stage implements the language in which tests describe a cluster and the
// connections that its policies allow.
//
// Objects are a list in YAML, one object for each entry:
//
//   - {namespace: shop, labels: {team: red}}
//   - {node: one}
//   - {pod: shop/web, node: one, labels: {app: web}, ports: [http:8080/TCP]}
//   - {policy: shop/deny, spec: {podSelector: {}}}
//
// Expectations are lines. Each names a source, a destination, a protocol with its
// port, and the expected result:
//
//	shop/web -> shop/db TCP 5432  allowed
//	shop/*   -> lab/web UDP 53    denied
//	any      -> shop/db           denied
//	shop/web -> shop/db ICMP      | NotIsolated | Rule shop/p[0]
//
// The result is allowed or denied, or, after a bar each, the reasons of the
// egress side and of the ingress side. A line without a protocol is about every
// protocol and port that the test tries. The source and the destination may be
// patterns of path.Match, and any matches every end. Each test documents which other
// names it accepts, such as node:one, and over which address families it
// tries a line.
package stage
