package propose

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
)

// manifest contains the values of one proposed NetworkPolicy.
type manifest struct {
	direction       rule.Direction
	namespace, name string
	// The policy selects pods with the labels in `subject`. The rule allows pods of the namespace
	// peerNamespace with the labels in `peer`. If peerNamespace is empty, it allows the address
	// `remote`.
	subject, peer []pair
	peerNamespace string
	remote        netip.Addr
	protocol      string
	port          *int
}

// text returns the manifest as YAML.
func (m *manifest) text() string {
	policyType, list, peers := "Egress", "egress", "to"
	if m.direction == rule.Ingress {
		policyType, list, peers = "Ingress", "ingress", "from"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: %s\n  namespace: %s\nspec:\n", m.name, m.namespace)
	b.WriteString("  podSelector:" + labels(m.subject, "    "))
	fmt.Fprintf(&b, "  policyTypes:\n  - %s\n  %s:\n  - %s:\n", policyType, list, peers)
	b.WriteString(m.peerText())
	if m.port != nil {
		fmt.Fprintf(&b, "    ports:\n    - protocol: %s\n      port: %d\n", m.protocol, *m.port)
	}
	return b.String()
}

func (m *manifest) peerText() string {
	switch m.peerNamespace {
	case "":
		return fmt.Sprintf("    - ipBlock:\n        cidr: %s\n", netip.PrefixFrom(m.remote, m.remote.BitLen()))
	case m.namespace:
		return "    - podSelector:" + labels(m.peer, "        ")
	default:
		namespace := []pair{{"kubernetes.io/metadata.name", m.peerNamespace}}
		return "    - namespaceSelector:" + labels(namespace, "        ") + "      podSelector:" + labels(m.peer, "        ")
	}
}

// labels returns a selector as YAML. Each line after the first begins with the indentation.
func labels(list []pair, indent string) string {
	if len(list) == 0 {
		return " {}\n"
	}
	out := "\n" + indent + "matchLabels:\n"
	for _, l := range list {
		out += fmt.Sprintf("%s  %s: %s\n", indent, quote(l.key), quote(l.value))
	}
	return out
}

var (
	plain    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._/-]*$`)
	reserved = []string{"true", "false", "yes", "no", "on", "off", "y", "n", "null"}
)

// quote returns a string as YAML. It uses quotes only if YAML would interpret the text as a value
// of another type.
func quote(s string) string {
	if plain.MatchString(s) && !slices.Contains(reserved, strings.ToLower(s)) {
		return s
	}
	return strconv.Quote(s)
}

// maxName is the maximum length of the name of a proposed policy. The suffix of nameOf can be added.
const maxName = 58

var notInName = regexp.MustCompile(`[^a-z0-9-]+`)

// nameOf returns a name for the policy that no policy of the namespace has.
func nameOf(set *inventory.Set, d rule.Direction, namespace, subject, other string) string {
	from, to := subject, other
	if d == rule.Ingress {
		from, to = other, subject
	}
	name := notInName.ReplaceAllString(strings.ToLower(fmt.Sprintf("allow-%s-to-%s-%s", from, to, d)), "-")
	name = strings.Trim(name[:min(len(name), maxName)], "-")
	used := func(name string) bool {
		return slices.ContainsFunc(set.Policies, func(p inventory.Policy) bool { return p.Scope == namespace && p.Name == name })
	}
	for i := 2; used(name) && i < 1000; i++ {
		if next := fmt.Sprintf("%s-%d", name, i); !used(next) {
			return next
		}
	}
	return name
}
