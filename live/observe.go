package live

import (
	"context"
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
const nodeFlows = "nodeflows"

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

// Flows returns the stream of the flow events of a node, one JSON object per line. With
// deniedOnly, the stream contains only flows that are not allowed. The caller must close the
// stream.
func (c *Connection) Flows(ctx context.Context, node string, deniedOnly bool) (io.ReadCloser, error) {
	config := rest.CopyConfig(c.config)
	config.GroupVersion, config.APIPath = &observeVersion, "/apis"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	api, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	stream, err := api.Get().Resource(nodeFlows).Param("watch", "true").
		Param("fieldSelector", metav1.ObjectNameField+"="+node).Param("denied", strconv.FormatBool(deniedOnly)).Stream(ctx)
	switch {
	case apierrors.IsForbidden(err):
		return nil, &ForbiddenError{Verb: "watch", Resources: []string{nodeFlows + "." + observeVersion.Group}, Name: node, err: err}
	case apierrors.IsNotFound(err) && !namesNode(err):
		return nil, &NotServedError{err}
	case err != nil:
		return nil, fmt.Errorf("watching flows: %w", err)
	}
	return stream, nil
}

// namesNode reports whether an error is about a NodeEnforcer that does not exist.
func namesNode(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "nodeenforcers"
}

// NotServedError is returned if no operator serves the flow events of the nodes.
type NotServedError struct{ err error }

func (e *NotServedError) Unwrap() error { return e.err }

func (e *NotServedError) Error() string {
	return "this cluster does not serve " + observeVersion.Group +
		": no operator is running, there is no Enforcer, or its spec.endpoint.mode is not Authenticated"
}
