package evaluation

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/cluster"
)

// Manifest encodes objects as JSON lists, in the format that the API server uses for lists.
func Manifest(t testing.TB, o *cluster.Objects) string {
	t.Helper()
	var b strings.Builder
	for _, list := range []struct {
		kind, apiVersion string
		items            any
	}{
		{"NamespaceList", "v1", o.Namespaces},
		{"NodeList", "v1", o.Nodes},
		{"PodList", "v1", o.Pods},
		{"NetworkPolicyList", "networking.k8s.io/v1", o.Policies},
		{"ClusterNetworkPolicyList", "policy.networking.k8s.io/v1beta1", o.ClusterNetworkPolicies},
	} {
		text, err := json.Marshal(map[string]any{"kind": list.kind, "apiVersion": list.apiVersion, "items": list.items})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(text)
		b.WriteByte('\n')
	}
	return b.String()
}

// Lines formats flows as the JSON lines that `sluice evaluate` reads, one flow per line.
func Lines(flows []flow.Flow) string {
	var b strings.Builder
	for _, f := range flows {
		fmt.Fprintf(&b, `{"src":%q,"dst":%q,"protocol":%q,"port":%d}`+"\n", f.Src, f.Dst, f.Protocol, f.DstPort)
	}
	return b.String()
}
