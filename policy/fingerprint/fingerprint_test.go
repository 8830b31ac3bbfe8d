package fingerprint_test

import (
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/policy/fingerprint"
	"github.com/sluicenet/sluice/policy/read"
)

// of returns the fingerprints of the ingress rules of a policy. The text is a list of rules, one per
// line.
func of(t *testing.T, name, uid string, rules ...string) []uint64 {
	t.Helper()
	var object networkingv1.NetworkPolicy
	text := "metadata: {namespace: shop, name: " + name + ", uid: " + uid + "}\nspec: {ingress: [" + strings.Join(rules, ", ") + "]}"
	if err := yaml.UnmarshalStrict([]byte(text), &object); err != nil {
		t.Fatal(err)
	}
	p, errs := read.NetworkPolicy(&object)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	return fingerprint.Rules(p, rule.Ingress)
}

func TestFingerprints(t *testing.T) {
	const (
		fromWeb  = `{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]}`
		sameWeb  = `{ports: [{protocol: TCP, port: 80}], from: [{podSelector: {matchLabels: {app: web}}}]}`
		fromAll  = `{}`
		port81   = `{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 81}]}`
		range80  = `{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80, endPort: 90}]}`
		named    = `{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: http}]}`
		udp      = `{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80, protocol: UDP}]}`
		fromDB   = `{from: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 80}]}`
		fromNS   = `{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]}`
		block    = `{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}`
		excepted = `{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}`
	)
	first := of(t, "a", "1", fromWeb, fromAll)
	if moved := of(t, "a", "2", port81, fromAll, sameWeb); moved[2] != first[0] || moved[1] != first[1] {
		t.Errorf("%x of moved rules, want those of %x", moved, first)
	}
	all := of(t, "a", "1", fromWeb, fromAll, port81, range80, named, udp, fromDB, fromNS, block, excepted, fromWeb, fromWeb)
	all = append(all, of(t, "b", "1", fromWeb)...)
	slices.Sort(all)
	if n := len(slices.Compact(slices.Clone(all))); n != len(all) || all[0] == 0 {
		t.Errorf("%d different fingerprints of %d rules: %x", n, len(all), all)
	}
}
