// Package standin provides a stand-in for an API server in benchmarks of large clusters. It serves
// generated objects. To fill a real API server with objects would take much longer. A client needs
// as much time and memory as with a real API server: objects of built-in kinds are sent as
// protobuf, and initial lists are streamed.
//
// The stand-in neither validates nor authorizes requests, sets no defaults, detects no conflicts
// and collects no garbage. To test the behavior of a program, use a real API server with package
// test/kube instead.
package standin

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

var (
	scheme = newScheme()
	codecs = serializer.NewCodecFactory(scheme)
)

func newScheme() *runtime.Scheme {
	out := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(out))
	utilruntime.Must(v1alpha1.AddToScheme(out))
	return out
}

// Resource describes a resource that the stand-in serves.
type Resource struct {
	schema.GroupVersionResource
	Kind       string
	Namespaced bool
	// Objects generates the objects for each list. These objects never change. If Objects is nil,
	// clients can create, update and delete objects, and watch these changes.
	Objects iter.Seq[runtime.Object]
}

// Server is an http.Handler that serves resources.
type Server struct {
	resources []Resource
	stores    map[schema.GroupVersionResource]*store
}

// New returns a server.
func New(resources ...Resource) *Server {
	s := &Server{resources: resources, stores: map[schema.GroupVersionResource]*store{}}
	for _, r := range resources {
		s.stores[r.GroupVersionResource] = newStore()
	}
	return s
}

// Writes returns the number of requests that changed objects of a resource.
func (s *Server) Writes(r schema.GroupVersionResource) int64 { return s.stores[r].writes.Load() }

// ServeHTTP serves discovery and the requests for all resources.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	version := schema.GroupVersion{}
	switch {
	case parts[0] == "api" && len(parts) == 1:
		reply(w, http.StatusOK, &metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
		return
	case parts[0] == "api":
		version.Version, parts = parts[1], parts[2:]
	case parts[0] == "apis" && len(parts) < 3:
		s.discoverGroups(w, parts[1:])
		return
	case parts[0] == "apis":
		version.Group, version.Version, parts = parts[1], parts[2], parts[3:]
	default:
		reply(w, http.StatusNotFound, &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound})
		return
	}
	if len(parts) == 0 {
		s.discoverResources(w, version)
		return
	}
	s.serveResource(w, r, version, parts)
}

// serveResource serves a request. The `parts` parameter contains the elements of the path that
// follow the version, for example namespaces, shop, policystatuses, db, status.
func (s *Server) serveResource(w http.ResponseWriter, r *http.Request, version schema.GroupVersion, parts []string) {
	var key objectKey
	if parts[0] == "namespaces" && len(parts) > 2 {
		key.namespace, parts = parts[1], parts[2:]
	}
	if len(parts) > 1 {
		key.name = parts[1]
	}
	for _, resource := range s.resources {
		if resource.GroupVersionResource != version.WithResource(parts[0]) {
			continue
		}
		held := s.stores[resource.GroupVersionResource]
		switch {
		case r.Method == http.MethodGet && key.name == "" && r.URL.Query().Get("watch") != "":
			resource.watch(w, r, held)
		case r.Method == http.MethodGet && key.name == "":
			resource.list(w, held)
		default:
			held.serve(w, r, key)
		}
		return
	}
	reply(w, http.StatusNotFound, &metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: http.StatusNotFound})
}

func (s *Server) discoverGroups(w http.ResponseWriter, name []string) {
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	seen := map[string]bool{"": true}
	for _, r := range s.resources {
		if seen[r.Group] {
			continue
		}
		seen[r.Group] = true
		version := metav1.GroupVersionForDiscovery{GroupVersion: r.GroupVersion().String(), Version: r.Version}
		group := metav1.APIGroup{
			TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"},
			Name:     r.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version,
		}
		if len(name) > 0 && name[0] == r.Group {
			reply(w, http.StatusOK, group)
			return
		}
		list.Groups = append(list.Groups, group)
	}
	reply(w, http.StatusOK, list)
}

func (s *Server) discoverResources(w http.ResponseWriter, version schema.GroupVersion) {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version.String()}
	for _, r := range s.resources {
		if r.GroupVersion() == version {
			list.APIResources = append(list.APIResources, metav1.APIResource{
				Name: r.Resource, Kind: r.Kind, Namespaced: r.Namespaced, Verbs: metav1.Verbs{"get", "list", "watch", "create", "update", "delete"},
			})
		}
	}
	reply(w, http.StatusOK, list)
}

// reply sends a response as JSON.
func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	// The client has gone if this fails.
	_ = json.NewEncoder(w).Encode(body)
}

// list sends all objects as one JSON list.
func (r *Resource) list(w http.ResponseWriter, held *store) {
	items := []json.RawMessage{}
	for object := range r.objects(held) {
		raw, err := json.Marshal(object)
		if err != nil {
			http.Error(w, fmt.Sprintf("encoding %T: %v", object, err), http.StatusInternalServerError)
			return
		}
		items = append(items, raw)
	}
	reply(w, http.StatusOK, map[string]any{
		"kind": r.Kind + "List", "apiVersion": r.GroupVersion().String(), "metadata": map[string]string{"resourceVersion": "1"}, "items": items,
	})
}

// objects returns the generated objects or, if none are generated, the objects that clients have
// created.
func (r *Resource) objects(held *store) iter.Seq[runtime.Object] {
	if r.Objects != nil {
		return r.Objects
	}
	return held.all()
}
