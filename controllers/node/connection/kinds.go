package connection

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/controllers/clusterpolicy"
)

// Kind is a kind of object that the agent reads. Metrics and logs use it as a label.
type Kind string

// The kinds that the agent reads.
const (
	Policy    Kind = "NetworkPolicy"
	Pod       Kind = "Pod"
	Namespace Kind = "Namespace"
	Node      Kind = "Node"
	// Definition is the CustomResourceDefinition of ClusterNetworkPolicies.
	Definition Kind = "CustomResourceDefinition"

	// ClusterPolicy stands for ClusterNetworkPolicies. The agent reads them only while the API
	// server serves them.
	ClusterPolicy Kind = clusterpolicy.Kind
	// OtherNode stands for the Node objects of all nodes except the agent's own node. The agent
	// reads them only while a policy refers to nodes.
	OtherNode Kind = "OtherNode"
)

// byPath maps the end of a request path to the kind of the requested objects. It contains the
// kinds that the agent always reads.
var byPath = map[string]Kind{
	"/apis/networking.k8s.io/v1/networkpolicies": Policy,
	"/api/v1/pods":       Pod,
	"/api/v1/namespaces": Namespace,
	"/api/v1/nodes":      Node,
	"/apis/apiextensions.k8s.io/v1/customresourcedefinitions": Definition,
}

// Always returns the kinds that the agent reads at all times.
func Always() []Kind { return slices.Sorted(maps.Values(byPath)) }

// kindOf returns the kind of the objects that a request lists or watches. It returns false
// for all other requests.
func kindOf(request *http.Request) (Kind, bool) {
	if request.Method != http.MethodGet {
		return "", false
	}
	path := request.URL.Path
	if strings.Contains(path, "/apis/"+clusterpolicy.Group+"/") && strings.HasSuffix(path, "/"+clusterpolicy.Resource) {
		return ClusterPolicy, true
	}
	for end, k := range byPath {
		switch {
		case !strings.HasSuffix(path, end):
		case k == Node && strings.Contains(request.URL.Query().Get("fieldSelector"), "!="):
			return OtherNode, true
		default:
			return k, true
		}
	}
	return "", false
}
