package live_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/live"
)

const tierGroup = "/apis/policy.networking.k8s.io"

// connect starts a simulated API server and connects to it. The map `texts` contains the server's
// response for each path. If the text for a path is empty, the response is Forbidden. If there is
// no text for a path, the response is NotFound. The lists of pods, namespaces, nodes and
// NetworkPolicies are always empty.
func connect(t *testing.T, texts map[string]string) *live.Connection {
	t.Helper()
	for path, kind := range map[string]string{
		"/api/v1/pods": "PodList", "/api/v1/namespaces": "NamespaceList", "/api/v1/nodes": "NodeList",
		"/apis/networking.k8s.io/v1/networkpolicies": "NetworkPolicyList",
	} {
		version := strings.TrimPrefix(strings.TrimPrefix(filepath.Dir(path), "/apis/"), "/api/")
		texts[path] = fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"items":[]}`, version, kind)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		text, found := texts[r.URL.Path]
		switch {
		case !found:
			w.WriteHeader(http.StatusNotFound)
			text = `{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"NotFound","code":404}`
		case text == "":
			w.WriteHeader(http.StatusForbidden)
			text = `{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"Forbidden","code":403}`
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":%q}}],"contexts":[{"name":"c","context":{"cluster":"c"}}],"current-context":"c"}`, server.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := live.Connect(live.Options{Kubeconfig: kubeconfig})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve adds the discovery documents of the API group tierGroup to the texts. The `resources`
// parameter contains the names of the resources for each version.
func serve(t *testing.T, texts map[string]string, resources map[string][]string) {
	t.Helper()
	var versions []map[string]string
	for version, names := range resources {
		versions = append(versions, map[string]string{"groupVersion": "policy.networking.k8s.io/" + version, "version": version})
		var list []map[string]string
		for _, name := range names {
			list = append(list, map[string]string{"name": name})
		}
		text, err := json.Marshal(map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "resources": list})
		if err != nil {
			t.Fatal(err)
		}
		texts[tierGroup+"/"+version] = string(text)
	}
	text, err := json.Marshal(map[string]any{"kind": "APIGroup", "apiVersion": "v1", "name": "policy.networking.k8s.io", "versions": versions})
	if err != nil {
		t.Fatal(err)
	}
	texts[tierGroup] = string(text)
}

func list(kind, version string, names ...string) string {
	var items []string
	for _, name := range names {
		items = append(items, fmt.Sprintf(`{"apiVersion":"policy.networking.k8s.io/%s","kind":%q,"metadata":{"name":%q},"spec":{"tier":"Admin","priority":%d,"subject":{"namespaces":{}}}}`, version, kind, name, len(items)))
	}
	return fmt.Sprintf(`{"apiVersion":"policy.networking.k8s.io/%s","kind":"%sList","items":[%s]}`, version, kind, strings.Join(items, ","))
}

func TestReadClusterNetworkPolicies(t *testing.T) {
	const policies, old, baseline = "clusternetworkpolicies", "adminnetworkpolicies", "baselineadminnetworkpolicies"
	texts := func(t *testing.T, more map[string]string, resources map[string][]string) map[string]string {
		serve(t, more, resources)
		return more
	}
	tests := map[string]struct {
		texts        map[string]string
		policies     []string
		notEvaluated []inventory.Skipped
	}{
		"no such group": {texts: map[string]string{}},
		"the best version is read": {
			texts: texts(t, map[string]string{
				tierGroup + "/v1beta1/" + policies:  list("ClusterNetworkPolicy", "v1beta1", "a", "b"),
				tierGroup + "/v1alpha2/" + policies: list("ClusterNetworkPolicy", "v1alpha2", "wrong version"),
			}, map[string][]string{"v1alpha2": {policies}, "v1beta1": {policies, policies + "/status"}}),
			policies: []string{"a", "b"},
		},
		"only the older version is served": {
			texts: texts(t, map[string]string{
				tierGroup + "/v1alpha2/" + policies: list("ClusterNetworkPolicy", "v1alpha2", "a"),
			}, map[string][]string{"v1alpha2": {policies}}),
			policies: []string{"a"},
		},
		"the kinds that preceded it": {
			texts: texts(t, map[string]string{
				tierGroup + "/v1alpha1/" + old:      list("AdminNetworkPolicy", "v1alpha1", "a", "b"),
				tierGroup + "/v1alpha1/" + baseline: "",
			}, map[string][]string{"v1alpha1": {old, baseline}}),
			notEvaluated: []inventory.Skipped{{Kind: "AdminNetworkPolicy", Count: 2}, {Kind: "BaselineAdminNetworkPolicy"}},
		},
		"without objects": {
			texts: texts(t, map[string]string{
				tierGroup + "/v1alpha1/" + old: list("AdminNetworkPolicy", "v1alpha1"),
			}, map[string][]string{"v1alpha1": {old}, "v1beta1": {}}),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			set, err := connect(t, tt.texts).Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, p := range set.Policies {
				names = append(names, p.Name)
			}
			if !slices.Equal(names, tt.policies) {
				t.Errorf("policies %q, want %q", names, tt.policies)
			}
			if diff := cmp.Diff(tt.notEvaluated, set.NotEvaluated); diff != "" {
				t.Errorf("not evaluated (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReadNeedsTheRightToListClusterNetworkPolicies checks that Read returns an error if the user
// may not list the ClusterNetworkPolicies. Without them, verdicts could be wrong.
func TestReadNeedsTheRightToListClusterNetworkPolicies(t *testing.T) {
	texts := map[string]string{tierGroup + "/v1beta1/clusternetworkpolicies": ""}
	serve(t, texts, map[string][]string{"v1beta1": {"clusternetworkpolicies"}})
	_, err := connect(t, texts).Read(t.Context())
	if err == nil || !strings.Contains(err.Error(), "--resource=clusternetworkpolicies.policy.networking.k8s.io") {
		t.Errorf("error %v, want the missing right", err)
	}
}
