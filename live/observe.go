package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// These names must agree with the names that the operator uses.
const (
	nodeFlows       = "nodeflows"
	nodeStatuses    = "nodestatuses"
	nodeConnections = "nodeconnections"
)

var observeVersion = schema.GroupVersion{Group: "observe.policy.sluice.dev", Version: "v1alpha1"}

// NodeNames returns the names of the nodes that have a NodeEnforcer, sorted.
func (c *Connection) NodeNames(ctx context.Context) ([]string, error) {
	var page v1alpha1.NodeEnforcerList
	var names []string
	err := c.list(ctx, &page, func() {
		for i := range page.Items {
			names = append(names, page.Items[i].Name)
		}
	})
	resource := "nodeenforcers." + v1alpha1.GroupVersion.Group
	switch {
	case apierrors.IsForbidden(err):
		return nil, &ForbiddenError{Verb: "list", Resources: []string{resource}, err: err}
	case err != nil:
		return nil, fmt.Errorf("listing %s: %w", resource, notInstalled(err))
	}
	slices.Sort(names)
	return names, nil
}

// Flows returns the stream of the flow events of a node, one JSON object per line. If deniedOnly is
// true, the stream contains only denied flows. The caller must close the stream.
func (c *Connection) Flows(ctx context.Context, node string, deniedOnly bool) (io.ReadCloser, error) {
	api, err := c.observer()
	if err != nil {
		return nil, err
	}
	stream, err := api.Get().Resource(nodeFlows).Param("watch", "true").
		Param("fieldSelector", metav1.ObjectNameField+"="+node).Param("denied", strconv.FormatBool(deniedOnly)).Stream(ctx)
	if err != nil {
		return nil, observeError("watch", nodeFlows, node, err)
	}
	return stream, nil
}

// Connections returns the open connections of a node that a change of policies could cut, one JSON
// object per line. If the response is complete, the last line is an empty object. The caller must
// close the stream.
func (c *Connection) Connections(ctx context.Context, node string) (io.ReadCloser, error) {
	api, err := c.observer()
	if err != nil {
		return nil, err
	}
	stream, err := api.Get().Resource(nodeConnections).Name(node).Stream(ctx)
	if err != nil {
		return nil, observeError("get", nodeConnections, node, err)
	}
	return stream, nil
}

// NodeStatus returns the status of the dataplane of a node, as JSON.
func (c *Connection) NodeStatus(ctx context.Context, node string) (json.RawMessage, error) {
	return c.nodeStatus(ctx, node, false)
}

// NodeHits is like NodeStatus, but the status also contains the counters of all rules.
func (c *Connection) NodeHits(ctx context.Context, node string) (json.RawMessage, error) {
	return c.nodeStatus(ctx, node, true)
}

func (c *Connection) nodeStatus(ctx context.Context, node string, hits bool) (json.RawMessage, error) {
	api, err := c.observer()
	if err != nil {
		return nil, err
	}
	request := api.Get().Resource(nodeStatuses).Name(node)
	if hits {
		request.Param("hits", "true")
	}
	content, err := request.Do(ctx).Raw()
	if err != nil {
		return nil, observeError("get", nodeStatuses, node, err)
	}
	var object struct {
		Status json.RawMessage `json:"status"`
	}
	if err := json.Unmarshal(content, &object); err != nil {
		return nil, fmt.Errorf("reading the status of node %s: %w", node, err)
	}
	return object.Status, nil
}

// Forwards checks that the API server forwards requests to the operator, and that the operator
// recognizes the user. For this check, it requests the status of a node that does not exist. If
// the operator recognizes the user, the result is nil. Otherwise it is the error of the request.
func (c *Connection) Forwards(ctx context.Context) error {
	_, err := c.NodeStatus(ctx, noNode)
	if namesNode(err) {
		return nil
	}
	return err
}

// noNode is not the name of a node, because the name of a node contains no underscore.
const noNode = "no_node"

// observer returns a client for the API of the operator.
func (c *Connection) observer() (*rest.RESTClient, error) {
	config := rest.CopyConfig(c.config)
	config.GroupVersion, config.APIPath = &observeVersion, "/apis"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	api, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	return api, nil
}

// observeError explains why a request for a node failed.
func observeError(verb, resource, node string, err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return &ForbiddenError{Verb: verb, Resources: []string{resource + "." + observeVersion.Group}, Name: node, err: err}
	case apierrors.IsNotFound(err) && !namesNode(err):
		return &NotServedError{err}
	}
	return fmt.Errorf("reading %s of node %s: %w", resource, node, err)
}

// namesNode reports whether an error is about a NodeEnforcer that does not exist.
func namesNode(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "nodeenforcers"
}

// NotServedError is returned if no operator serves the flow events and the statuses of
// the nodes.
type NotServedError struct{ err error }

func (e *NotServedError) Unwrap() error { return e.err }

func (e *NotServedError) Error() string {
	return "this cluster does not serve " + observeVersion.Group +
		": no operator is running, there is no Enforcer, or its spec.endpoint.mode is not Authenticated"
}
