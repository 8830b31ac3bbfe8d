package check

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/live"
)

// reviewsAtOnce is the maximum number of access reviews that are requested at the same time.
const reviewsAtOnce = 8

// installRights returns the rights that are needed to install Sluice in a namespace.
func installRights(namespace string) []authorizationv1.ResourceAttributes {
	var out []authorizationv1.ResourceAttributes
	for _, r := range []struct{ group, resource, namespace string }{
		{"apiextensions.k8s.io", "customresourcedefinitions", ""},
		{"", "namespaces", ""},
		{"rbac.authorization.k8s.io", "clusterroles", ""},
		{"rbac.authorization.k8s.io", "clusterrolebindings", ""},
		{"rbac.authorization.k8s.io", "roles", namespace},
		{"rbac.authorization.k8s.io", "rolebindings", namespace},
		{"", "serviceaccounts", namespace},
		{"", "services", namespace},
		{"apps", "deployments", namespace},
		{v1alpha1.GroupVersion.Group, "enforcers", ""},
	} {
		out = append(out, authorizationv1.ResourceAttributes{Verb: "create", Group: r.group, Resource: r.resource, Namespace: r.namespace})
	}
	// The API server lets a user create only roles with rights that the user has. With the verb
	// escalate, there is no such restriction.
	return append(out, authorizationv1.ResourceAttributes{Verb: "escalate", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"})
}

// missingForInstall returns the rights that an installation needs and that the caller
// lacks.
func missingForInstall(ctx context.Context, c *live.Connection, namespace string) ([]string, error) {
	return missing(installRights(namespace), func(right authorizationv1.ResourceAttributes) (bool, error) { return c.May(ctx, right) })
}

// missingForAccounts returns the rights that the service accounts of the operator and the agents
// need but lack. The manifests contain the rights that they need. The API server evaluates each
// right, because a service account can also receive a right through a role with another name.
func missingForAccounts(ctx context.Context, c *live.Connection, namespace string) ([]string, error) {
	operator, err := rbac.Operator(namespace)
	if err != nil {
		return nil, err
	}
	agent, err := rbac.Agent(namespace)
	if err != nil {
		return nil, err
	}
	rights, err := rightsIn(slices.Concat(operator, agent))
	if err != nil {
		return nil, err
	}
	var out []string
	var failed error
	for _, account := range slices.Sorted(maps.Keys(rights)) {
		lacking, err := missing(rights[account], func(right authorizationv1.ResourceAttributes) (bool, error) {
			return c.AccountMay(ctx, namespace, account, right)
		})
		failed = errors.Join(failed, err)
		for _, text := range lacking {
			out = append(out, account+": "+text)
		}
	}
	return out, failed
}

// missing returns, as text, the rights for which the function `may` returns false. If several
// reviews fail, it returns one of the errors.
func missing(rights []authorizationv1.ResourceAttributes, may func(authorizationv1.ResourceAttributes) (bool, error)) ([]string, error) {
	var mu sync.Mutex
	var out []string
	var failed error
	var running sync.WaitGroup
	turn := make(chan struct{}, reviewsAtOnce)
	for _, right := range rights {
		running.Go(func() {
			turn <- struct{}{}
			allowed, err := may(right)
			<-turn
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failed = err
			case !allowed:
				out = append(out, textOf(right))
			}
		})
	}
	running.Wait()
	slices.Sort(out)
	return out, failed
}

// textOf returns a right as text, such as "create deployments.apps in namespace sluice-system".
func textOf(r authorizationv1.ResourceAttributes) string {
	resource := r.Resource
	if r.Group != "" {
		resource += "." + r.Group
	}
	if r.Subresource != "" {
		resource += "/" + r.Subresource
	}
	if r.Name != "" {
		resource += " " + r.Name
	}
	if r.Namespace != "" {
		resource += " in namespace " + r.Namespace
	}
	return r.Verb + " " + resource
}

// rightsIn returns the rights that the ClusterRoles and Roles in a list of objects grant. The key
// of the result is the name of a service account, which is also the name of the role. For a rule
// that names several objects, rightsIn returns only the rights on the first object.
func rightsIn(objects []*unstructured.Unstructured) (map[string][]authorizationv1.ResourceAttributes, error) {
	out := map[string][]authorizationv1.ResourceAttributes{}
	for _, object := range objects {
		if kind := object.GetKind(); kind != "ClusterRole" && kind != "Role" {
			continue
		}
		var role rbacv1.Role
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
			return nil, fmt.Errorf("reading role %s: %w", object.GetName(), err)
		}
		for i := range role.Rules {
			out[role.Name] = append(out[role.Name], rightsOf(&role.Rules[i], object.GetNamespace())...)
		}
	}
	return out, nil
}

func rightsOf(rule *rbacv1.PolicyRule, namespace string) (out []authorizationv1.ResourceAttributes) {
	name := ""
	if len(rule.ResourceNames) > 0 {
		name = rule.ResourceNames[0]
	}
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			resource, subresource, _ := strings.Cut(resource, "/")
			for _, verb := range rule.Verbs {
				out = append(out, authorizationv1.ResourceAttributes{
					Verb: verb, Group: group, Resource: resource, Subresource: subresource, Name: name, Namespace: namespace,
				})
			}
		}
	}
	return out
}
