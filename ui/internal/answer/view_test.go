package answer

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/ui/source"
)

// failing is a source whose objects cannot be read while err is set.
type failing struct {
	*source.Files
	err error
}

func (f *failing) Objects(ctx context.Context) (*inventory.Set, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.Files.Objects(ctx)
}

const policies = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  ingress:
  - from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.0/16, 10.3.0.0/16, 10.4.0.0/16, 10.5.0.0/16, 10.6.0.0/16]}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: web, image: web}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop, labels: {app: web}}
spec: {containers: [{name: web, image: web}]}
status: {phase: Running, podIPs: [{ip: 10.0.0.1}]}
`

// request requests an answer, and returns its JSON form.
func request(t *testing.T, s *Server, path string) map[string]any {
	t.Helper()
	response := httptest.NewRecorder()
	s.Handler().ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/api/"+path, http.NoBody))
	var out map[string]any
	if err := json.Unmarshal(response.Body.Bytes(), &out); err != nil || response.Code != http.StatusOK {
		t.Fatalf("%s: status %d, error %v", path, response.Code, err)
	}
	return out
}

// TestLoad checks that the server keeps its view while the objects are equal, and replaces it after any
// change.
func TestLoad(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policies.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(policies)
	files, err := source.NewFiles([]string{file}, strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	f := &failing{Files: files}
	s := New(t.Context(), f)
	if err := s.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"overview", "map", "policies", "policy?name=shop/web", "explain?from=192.0.2.1&to=shop/web-0&port=80"} {
		request(t, s, path)
	}
	revision := 0
	// load reads a text, and checks whether the server replaces its view.
	load := func(change, text string, replaces bool) {
		t.Helper()
		write(text)
		if err := s.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if replaces {
			revision++
		}
		if s.view.revision != revision {
			t.Errorf("%s: revision %d, want %d", change, s.view.revision, revision)
			revision = s.view.revision
		}
		request(t, s, "map")
	}
	load("no change", policies, false)
	for change, text := range map[string]string{
		"the last except":  strings.ReplaceAll(policies, "10.6.0.0/16", "10.7.0.0/16"),
		"a workload":       strings.ReplaceAll(policies, "kind: Deployment\nmetadata: {name: web,", "kind: Deployment\nmetadata: {name: api,"),
		"an empty field":   strings.ReplaceAll(policies, "  ingress:\n", "  egress: []\n  ingress:\n"),
		"a pod's labels":   strings.ReplaceAll(policies, "name: web-0, namespace: shop, labels: {app: web}", "name: web-0, namespace: shop, labels: {app: api}"),
		"an added comment": "# Lines have moved.\n" + policies,
	} {
		load(change, text, true)
		load(change, text, false)
		load("revert "+change, policies, true)
	}
	if got := request(t, s, "overview"); got["revision"] != float64(revision) || got["error"] != nil {
		t.Errorf("overview %v, want revision %d", got, revision)
	}
	f.err = errors.New("no connection")
	if err := s.load(t.Context()); !errors.Is(err, f.err) {
		t.Errorf("error %v", err)
	}
	if got := request(t, s, "overview"); got["revision"] != float64(revision) || got["error"] != "no connection" {
		t.Errorf("overview %v, want the error and revision %d", got, revision)
	}
}
