package observe

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluicenet/sluice/controllers/access"
	"github.com/sluicenet/sluice/controllers/observe/door"
)

const (
	groupPath   = "/apis/" + door.Group
	versionPath = groupPath + "/" + door.Version
	// maxStatus is the maximum size of the status of a dataplane, in bytes. maxHits is the maximum
	// size of a status with the counters of all rules, and maxReports the maximum number of such
	// requests at the same time.
	maxStatus  = 1 << 20
	maxHits    = 16 << 20
	maxReports = 16
	// maxStreams is the maximum number of flow event streams at the same time. The same maximum
	// applies separately to responses with open connections.
	maxStreams = 1000
)

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	version := metav1.GroupVersionForDiscovery{GroupVersion: door.Group + "/" + door.Version, Version: door.Version}
	group := metav1.APIGroup{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"},
		Name:     door.Group, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version,
	}
	mux.Handle("GET /apis", static(metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}, Groups: []metav1.APIGroup{group}}))
	mux.Handle("GET "+groupPath, static(group))
	mux.Handle("GET "+versionPath, static(metav1.APIResourceList{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: version.GroupVersion,
		APIResources: []metav1.APIResource{
			{Name: door.Flows, SingularName: "nodeflow", Kind: "NodeFlow", Verbs: metav1.Verbs{"watch"}},
			{Name: door.Statuses, SingularName: "nodestatus", Kind: "NodeStatus", Verbs: metav1.Verbs{"get"}},
			{Name: door.Connections, SingularName: "nodeconnection", Kind: "NodeConnection", Verbs: metav1.Verbs{"get"}},
		},
	}))
	mux.Handle("GET "+versionPath+"/"+door.Flows, limit(maxStreams, failing(s.flows)))
	mux.Handle("GET "+versionPath+"/"+door.Statuses+"/{node}", s.statuses())
	mux.Handle("GET "+versionPath+"/"+door.Connections+"/{node}", limit(maxStreams, failing(s.connections)))
	mux.Handle("/", failing(func(_ http.ResponseWriter, r *http.Request) error {
		return apierrors.NewGenericServerResponse(http.StatusNotFound, r.Method, schema.GroupResource{}, "", "there is no such path", 0, true)
	}))
	return mux
}

// static returns a handler that writes an object. Any client may read the object, because it only
// describes which kinds the cluster serves.
func static(object any) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(object) // An error means that the client is gone.
	})
}

// failing returns a handler that writes the error of a function as the response.
func failing(serve func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := serve(w, r); err != nil {
			access.WriteError(w, err)
		}
	})
}

// limit returns a handler that rejects a request if it is already serving `n` requests.
func limit(n int, next http.Handler) http.Handler {
	free := make(chan struct{}, n)
	return failing(func(w http.ResponseWriter, r *http.Request) error {
		select {
		case free <- struct{}{}:
			defer func() { <-free }()
			next.ServeHTTP(w, r)
			return nil
		default:
			return apierrors.NewTooManyRequests(strconv.Itoa(n)+" requests of this kind are being served", 1)
		}
	})
}

// allow returns nil if the user of a request has the given right. The API server has already
// checked the rights of users whose requests it forwards. The check is repeated because other
// clients can connect to this server, too.
func (s *Server) allow(r *http.Request, right access.Right) error {
	user, err := s.proxies.user(r)
	if err == nil && user == nil {
		user, err = s.reviewer.Authenticate(r)
	}
	if err != nil {
		return err
	}
	return s.reviewer.Authorize(r.Context(), user, right)
}

// flows writes the flow events of the node that the field selector names.
func (s *Server) flows(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	selector, err := fields.ParseSelector(query.Get("fieldSelector"))
	if err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	node, named := selector.RequiresExactMatch("metadata.name")
	if watch, _ := strconv.ParseBool(query.Get("watch")); !watch || !named {
		return apierrors.NewBadRequest("flow events can only be watched on one node: use watch=true and fieldSelector=metadata.name=NODE")
	}
	denied, _ := strconv.ParseBool(query.Get(door.DeniedParameter))
	return s.relay(w, r, door.FlowsRight(node), door.FlowsPath+"?"+door.DeniedParameter+"="+strconv.FormatBool(denied))
}

// connections writes the open connections of a node.
func (s *Server) connections(w http.ResponseWriter, r *http.Request) error {
	return s.relay(w, r, door.ConnectionsRight(r.PathValue("node")), door.ConnectionsPath)
}

// relay writes the response of a node's agent if the user has the given right. The name in the
// right is the name of the node.
func (s *Server) relay(w http.ResponseWriter, r *http.Request, right access.Right, path string) error {
	if err := s.allow(r, right); err != nil {
		return err
	}
	body, err := s.agents.get(r.Context(), right.Name, path)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	w.Header().Set("Content-Type", "application/jsonl")
	stream(w, body)
	return nil
}

// stream copies the body of a response until the body ends or the client is gone. Each part is sent
// at once.
func stream(w http.ResponseWriter, body io.Reader) {
	const size = 32 << 10
	control, buffer := http.NewResponseController(w), make([]byte, size)
	for {
		if control.Flush() != nil {
			return
		}
		n, err := body.Read(buffer)
		if _, gone := w.Write(buffer[:n]); gone != nil || err != nil {
			return
		}
	}
}

// nodeStatus is the object that contains the status of a dataplane.
type nodeStatus struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        map[string]string `json:"metadata"`
	Status          json.RawMessage   `json:"status"`
}

// statuses returns the handler for the statuses of nodes. It limits the number of requests for the
// counters of all rules, because their responses can be large.
func (s *Server) statuses() http.Handler {
	plain := failing(func(w http.ResponseWriter, r *http.Request) error { return s.status(w, r, "", maxStatus) })
	withHits := limit(maxReports, failing(func(w http.ResponseWriter, r *http.Request) error {
		return s.status(w, r, "?"+door.HitsParameter+"=true", maxHits)
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wanted, _ := strconv.ParseBool(r.URL.Query().Get(door.HitsParameter)); wanted {
			withHits.ServeHTTP(w, r)
			return
		}
		plain.ServeHTTP(w, r)
	})
}

// status writes the status of the dataplane of a node. The `query` parameter is appended to the path
// of the request to the agent, and `size` is the maximum size of the status in bytes.
func (s *Server) status(w http.ResponseWriter, r *http.Request, query string, size int64) error {
	node := r.PathValue("node")
	if err := s.allow(r, door.StatusRight(node)); err != nil {
		return err
	}
	body, err := s.agents.get(r.Context(), node, door.StatusPath+query)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	content, err := io.ReadAll(io.LimitReader(body, size))
	if err != nil || !json.Valid(content) {
		return apierrors.NewServiceUnavailable("node " + node + ": the response is incomplete")
	}
	static(nodeStatus{
		TypeMeta: metav1.TypeMeta{APIVersion: door.Group + "/" + door.Version, Kind: "NodeStatus"},
		Metadata: map[string]string{"name": node}, Status: content,
	}).ServeHTTP(w, r)
	return nil
}
