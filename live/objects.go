package live

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/inventory"
)

// Read reads all Pods, Namespaces, Nodes, NetworkPolicies and ClusterNetworkPolicies. If the user
// lacks the right to list one or more of these kinds, the error names all of them. A missing
// CustomResourceDefinition of ClusterNetworkPolicy is not an error. The set then contains no
// ClusterNetworkPolicies.
// Read also reads Services, EndpointSlices and workloads. If the user lacks the right to list some of
// them, Read lists them in Set.NotListed.
func (c *Connection) Read(ctx context.Context) (*inventory.Set, error) {
	b := builder{origin: inventory.Origin{File: c.Name}}
	var (
		pods       corev1.PodList
		namespaces corev1.NamespaceList
		nodes      corev1.NodeList
		policies   networkingv1.NetworkPolicyList
	)
	denied := denials{verb: "list"}
	if err := c.readTiers(ctx, &b, &denied); err != nil {
		return nil, err
	}
	if err := c.readOthers(ctx, &b); err != nil {
		return nil, err
	}
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
		if err := denied.add(kind.resource, err); err != nil {
			return nil, fmt.Errorf("listing %s: %w", kind.resource, err)
		}
	}
	if err := denied.err(); err != nil {
		return nil, err
	}
	if err := c.readBackends(ctx, &b); err != nil {
		return nil, err
	}
	return &b.set, nil
}

// denials collects the denied requests, so that one error message can name all missing
// rights.
type denials struct {
	verb      string
	resources []string
	first     error
}

// add handles an error of a request. If the API server denied the request, the method records the
// error and returns nil. It returns any other error unchanged.
func (r *denials) add(resource string, err error) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	if r.first == nil {
		r.first = err
	}
	r.resources = append(r.resources, resource)
	return nil
}

// err returns a ForbiddenError with all missing rights, or nil if no request was
// denied.
func (r *denials) err() error {
	if r.first == nil {
		return nil
	}
	return &ForbiddenError{Verb: r.verb, Resources: r.resources, err: r.first}
}

// ForbiddenError is returned if the user lacks one or more rights in the cluster.
type ForbiddenError struct {
	Verb      string
	Resources []string
	// Name is the name of the object for which the right is needed, or "" if it is needed for
	// all objects.
	Name string
	err  error
}

func (e *ForbiddenError) Unwrap() error { return e.err }

// Error names the missing rights, and the kubectl commands with which an administrator can
// grant exactly these rights.
func (e *ForbiddenError) Error() string {
	what, names := strings.Join(e.Resources, ", "), ""
	if e.Name != "" {
		what, names = what+" "+strconv.Quote(e.Name), " --resource-name="+e.Name
	}
	role := e.roleName()
	return fmt.Sprintf(`you may not %[1]s %[2]s in this cluster: %[3]v
  An administrator can grant this right:
  kubectl create clusterrole %[4]s --verb=%[1]s --resource=%[5]s%[6]s
  kubectl create clusterrolebinding %[4]s --clusterrole=%[4]s --user=USER`,
		e.Verb, what, e.err, role, strings.Join(e.Resources, ","), names)
}

// roleName returns the name of the role in the suggested commands. If the error is about the right
// to a single object, the name of the role contains the verb and the object. The commands of
// several such errors therefore create different roles.
func (e *ForbiddenError) roleName() string {
	if e.Name == "" {
		return "sluice-reader"
	}
	resource, _, _ := strings.Cut(e.Resources[0], ".")
	return "sluice-" + e.Verb + "-" + resource + "-" + e.Name
}

// NotInstalledError is returned if Sluice's CRDs are not installed in the
// cluster.
type NotInstalledError struct{ err error }

func (e *NotInstalledError) Unwrap() error { return e.err }

func (e *NotInstalledError) Error() string {
	return "this cluster does not serve the kinds of policy.sluice.dev: Sluice is not installed in it"
}

// notInstalled returns a NotInstalledError if the error reports an unknown kind. It returns
// any other error unchanged.
func notInstalled(err error) error {
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return &NotInstalledError{err}
	}
	return err
}
