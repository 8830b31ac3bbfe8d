package live

import (
	"context"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Names returns the names of all objects of a kind, sorted. If the namespace is empty, it returns the
// objects of all namespaces, in the form namespace/name. Names is for the completion of command
// lines, which shows no errors. So if the objects cannot be read, Names returns no names.
func (c *Connection) Names(ctx context.Context, kind, namespace string) []string {
	if kind == clusterNetworkPolicy { // Clusters serve different versions of this kind.
		return c.clusterPolicyNames(ctx)
	}
	for _, group := range []string{"", "apps", "batch", "networking.k8s.io"} {
		mapping, err := c.client.RESTMapper().RESTMapping(schema.GroupKind{Group: group, Kind: kind}, "v1")
		if err != nil {
			continue
		}
		var page metav1.PartialObjectMetadataList
		page.SetGroupVersionKind(mapping.GroupVersionKind)
		var names []string
		err = c.list(ctx, &page, func() {
			for i := range page.Items {
				name := page.Items[i].Name
				if n := page.Items[i].Namespace; namespace == "" && n != "" {
					name = n + "/" + name
				}
				names = append(names, name)
			}
		}, client.InNamespace(namespace))
		if err != nil {
			return nil
		}
		slices.Sort(names)
		return names
	}
	return nil
}

func (c *Connection) clusterPolicyNames(ctx context.Context) (names []string) {
	policies, _, err := c.ClusterNetworkPolicies(ctx)
	if err != nil {
		return nil
	}
	for i := range policies {
		names = append(names, policies[i].GetName())
	}
	slices.Sort(names)
	return names
}

// Configured returns the names of the contexts, the clusters and the users in a kubeconfig file,
// sorted. If the path is empty, it reads the files that Connect reads.
func Configured(kubeconfig string) (contexts, clusters, users []string) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	config, err := rules.Load()
	if err != nil {
		return nil, nil, nil
	}
	return slices.Sorted(maps.Keys(config.Contexts)), slices.Sorted(maps.Keys(config.Clusters)), slices.Sorted(maps.Keys(config.AuthInfos))
}
