package live

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Each reads all objects of a kind in pages. It stores one page at a time in the `list` parameter,
// and calls the function `each` after every page.
func (c *Connection) Each(ctx context.Context, list client.ObjectList, each func(), options ...client.ListOption) error {
	return c.list(ctx, list, each, options...)
}

// Get reads one object. The namespace is empty for kinds without a namespace.
func (c *Connection) Get(ctx context.Context, namespace, name string, object client.Object) error {
	return c.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object)
}

// Version returns the version of the API server.
func (c *Connection) Version(ctx context.Context) (v version.Info, err error) {
	return v, c.getJSON(ctx, "/version", &v)
}

// Groups returns the API groups that the cluster serves, sorted. The core group is not in the
// list.
func (c *Connection) Groups(ctx context.Context) (names []string, err error) {
	var groups metav1.APIGroupList
	if err := c.getJSON(ctx, "/apis", &groups); err != nil {
		return nil, err
	}
	for i := range groups.Groups {
		names = append(names, groups.Groups[i].Name)
	}
	slices.Sort(names)
	return names, nil
}

// Resources returns the names of the resources in a version of an API group, such as "apps/v1".
func (c *Connection) Resources(ctx context.Context, groupVersion string) (names []string, err error) {
	var resources metav1.APIResourceList
	if err := c.getJSON(ctx, "/apis/"+groupVersion, &resources); err != nil {
		return nil, err
	}
	for i := range resources.APIResources {
		names = append(names, resources.APIResources[i].Name)
	}
	return names, nil
}

// May reports whether the user has a right.
func (c *Connection) May(ctx context.Context, right authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &right}}
	if err := c.client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("reviewing the rights of the caller: %w", err)
	}
	return review.Status.Allowed, nil
}

// AccountMay reports whether a service account has a right.
func (c *Connection) AccountMay(ctx context.Context, namespace, account string, right authorizationv1.ResourceAttributes) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:               "system:serviceaccount:" + namespace + ":" + account,
		Groups:             []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
		ResourceAttributes: &right,
	}}
	if err := c.client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("reviewing the rights of service account %s: %w", account, err)
	}
	return review.Status.Allowed, nil
}

// LogOptions selects a part of the log of a container.
type LogOptions struct {
	Container string
	// Previous selects the log of the container before its last restart.
	Previous bool
	// Lines is the maximum number of lines from the end of the log, and Bytes is the maximum
	// number of bytes.
	Lines, Bytes int64
}

// Log reads the log of a container.
func (c *Connection) Log(ctx context.Context, namespace, pod string, o LogOptions) ([]byte, error) {
	api, err := c.rest()
	if err != nil {
		return nil, err
	}
	stream, err := api.Get().Resource("pods").Namespace(namespace).Name(pod).SubResource("log").
		Param("container", o.Container).Param("previous", strconv.FormatBool(o.Previous)).
		Param("tailLines", strconv.FormatInt(o.Lines, 10)).Param("timestamps", "true").Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	// Remove the beginning of the text here, instead of limiting the size with the parameter
	// limitBytes. With this parameter, the API server would remove the end of the text.
	text, err := io.ReadAll(io.LimitReader(stream, o.Lines*maxLine))
	if extra := int64(len(text)) - o.Bytes; extra > 0 {
		text = text[extra:]
	}
	return text, err
}

// maxLine limits the size of a log: Log reads at most maxLine bytes for each requested line.
const maxLine = 16 << 10

// getJSON requests a path and parses the response.
func (c *Connection) getJSON(ctx context.Context, path string, into any) error {
	return c.getPage(ctx, path, 0, into)
}

// getPage requests a list of at most `limit` objects and parses the response. A limit of 0 means no
// limit.
func (c *Connection) getPage(ctx context.Context, path string, limit int, into any) error {
	api, err := c.rest()
	if err != nil {
		return err
	}
	request := api.Get().AbsPath(path)
	if limit > 0 {
		request.Param("limit", strconv.Itoa(limit))
	}
	text, err := request.DoRaw(ctx)
	if err != nil {
		return fmt.Errorf("requesting %s: %w", path, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("requesting %s: %w", path, err)
	}
	return nil
}

// rest returns a client for the core API.
func (c *Connection) rest() (*rest.RESTClient, error) {
	config := rest.CopyConfig(c.config)
	config.GroupVersion, config.APIPath = &corev1.SchemeGroupVersion, "/api"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
	api, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	return api, nil
}
