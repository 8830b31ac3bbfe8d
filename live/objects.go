package live

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/inventory"
)

// Read reads everything that decides about a flow: all Pods, Namespaces, Nodes
// and NetworkPolicies. The error names every kind that the caller may not list.
func (c *Connection) Read(ctx context.Context) (*inventory.Set, error) {
	b := builder{origin: inventory.Origin{File: c.Name}}
	var (
		pods       corev1.PodList
		namespaces corev1.NamespaceList
		nodes      corev1.NodeList
		policies   networkingv1.NetworkPolicyList
	)
	refused := refusals{verb: "list"}
	for _, kind := range []struct {
		resource string
		into     client.ObjectList
		add      func()
	}{
		{"networkpolicies.networking.k8s.io", &policies, func() { b.addPolicies(policies.Items) }},
		{"namespaces", &namespaces, func() { b.addNamespaces(namespaces.Items) }},
		{"nodes", &nodes, func() { b.addNodes(nodes.Items) }},
		{"pods", &pods, func() { b.addPods(pods.Items) }},
	} {
		err := c.list(ctx, kind.into, kind.add)
		if err := refused.note(kind.resource, err); err != nil {
			return nil, fmt.Errorf("listing %s: %w", kind.resource, err)
		}
	}
	if err := refused.err(); err != nil {
		return nil, err
	}
	return &b.set, nil
}

// refusals collects what the API server does not let the caller do, so that one
// message names all of it.
type refusals struct {
	verb      string
	resources []string
	first     error
}

// note takes a refusal in, and gives any other error back.
func (r *refusals) note(resource string, err error) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	if r.first == nil {
		r.first = err
	}
	r.resources = append(r.resources, resource)
	return nil
}

// err says what is missing and how to get it, nil where nothing is.
func (r *refusals) err() error {
	if r.first == nil {
		return nil
	}
	return &ForbiddenError{Verb: r.verb, Resources: r.resources, err: r.first}
}

// ForbiddenError says what the caller may not do in the cluster.
type ForbiddenError struct {
	Verb      string
	Resources []string
	err       error
}

func (e *ForbiddenError) Unwrap() error { return e.err }

// Error names the rights that are missing and the command that grants them.
func (e *ForbiddenError) Error() string {
	names := strings.Join(e.Resources, ",")
	return fmt.Sprintf(`you may not %s %s in this cluster: %v
  An administrator grants it:
  kubectl create clusterrole sluice-reader --verb=%s --resource=%s
  kubectl create clusterrolebinding sluice-reader --clusterrole=sluice-reader --user=USER`,
		e.Verb, strings.Join(e.Resources, ", "), e.err, e.Verb, names)
}

// NotInstalledError says that the cluster does not know Sluice's kinds.
type NotInstalledError struct{ err error }

func (e *NotInstalledError) Unwrap() error { return e.err }

func (e *NotInstalledError) Error() string {
	return "this cluster does not know the kinds of policy.sluice.dev: Sluice is not installed in it"
}

// notInstalled tells an unknown kind from other errors.
func notInstalled(err error) error {
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return &NotInstalledError{err}
	}
	return err
}
