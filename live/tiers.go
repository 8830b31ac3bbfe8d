package live

import (
	"context"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy/read"
)

// clusterNetworkPolicy is the only kind in tierKinds whose objects Read returns. Read only counts
// the objects of the other kinds.
const clusterNetworkPolicy = "ClusterNetworkPolicy"

// tierKinds contains the kinds of the group read.Group that Read lists. Each kind has one or more
// versions, of which Read uses the first version that the cluster serves.
var tierKinds = []struct {
	kind, resource string
	versions       []string
}{
	{clusterNetworkPolicy, "clusternetworkpolicies", read.Versions},
	{inventory.NotEvaluatedKinds[0], "adminnetworkpolicies", []string{"v1alpha1"}},
	{inventory.NotEvaluatedKinds[1], "baselineadminnetworkpolicies", []string{"v1alpha1"}},
}

// readTiers reads the ClusterNetworkPolicies of the cluster, and counts the objects of the kinds
// in inventory.NotEvaluatedKinds. It skips kinds that the cluster does not serve. If the user has
// no right to list the ClusterNetworkPolicies, readTiers adds the missing right to `denied`.
func (c *Connection) readTiers(ctx context.Context, b *builder, denied *denials) error {
	served, err := c.served(ctx, read.Group)
	if err != nil {
		return err
	}
	for _, kind := range tierKinds {
		at := slices.IndexFunc(kind.versions, func(version string) bool { return slices.Contains(served[version], kind.resource) })
		if at < 0 {
			continue
		}
		count, evaluated := 0, kind.kind == clusterNetworkPolicy
		page := tierList(kind.kind, kind.versions[at])
		err := c.list(ctx, page, func() {
			count += len(page.Items)
			if evaluated {
				b.addClusterPolicies(page.Items)
			}
		})
		switch {
		case evaluated:
			err = denied.add(kind.resource+"."+read.Group, err)
		case apierrors.IsForbidden(err):
			b.set.NotEvaluated, err = append(b.set.NotEvaluated, inventory.Skipped{Kind: kind.kind}), nil
		case count > 0:
			b.set.NotEvaluated = append(b.set.NotEvaluated, inventory.Skipped{Kind: kind.kind, Count: count})
		}
		if err != nil {
			return fmt.Errorf("listing %s.%s: %w", kind.resource, read.Group, err)
		}
	}
	return nil
}

// readOthers counts the policies of other engines. If the user has no right to list a kind, the
// count is 0.
func (c *Connection) readOthers(ctx context.Context, b *builder) error {
	groups, err := c.Groups(ctx)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return err
	}
	for _, kind := range inventory.OtherPolicies {
		if kind.Resource == "" || !slices.Contains(groups, kind.Group) {
			continue
		}
		served, err := c.served(ctx, kind.Group)
		if err != nil {
			return err
		}
		for version, resources := range served {
			if !slices.Contains(resources, kind.Resource) {
				continue
			}
			name, _ := inventory.NotEvaluatedName(kind.Group, kind.Kind)
			count, err := c.count(ctx, "/apis/"+kind.Group+"/"+version+"/"+kind.Resource)
			switch {
			case apierrors.IsForbidden(err):
				b.set.NotEvaluated = append(b.set.NotEvaluated, inventory.Skipped{Kind: name})
			case err != nil:
				return err
			case count > 0:
				b.set.NotEvaluated = append(b.set.NotEvaluated, inventory.Skipped{Kind: name, Count: count})
			}
			break // Every version contains the same objects.
		}
	}
	return nil
}

// count returns the number of objects in the list at a URL path. It requests only one object,
// because the API server returns the number of the remaining objects with it.
func (c *Connection) count(ctx context.Context, path string) (int, error) {
	var page metav1.PartialObjectMetadataList
	if err := c.getPage(ctx, path, 1, &page); err != nil {
		return 0, err
	}
	return len(page.Items) + int(ptr.Deref(page.RemainingItemCount, 0)), nil
}

// tierList returns an empty list for objects of the given kind and version in the group read.Group.
func tierList(kind, version string) *unstructured.UnstructuredList {
	out := &unstructured.UnstructuredList{}
	out.SetGroupVersionKind(schema.GroupVersionKind{Group: read.Group, Version: version, Kind: kind + "List"})
	return out
}

// ClusterNetworkPolicies returns all ClusterNetworkPolicies, and the versions of the kind that the
// cluster serves. The objects have the version that the agents read. If the cluster does not serve
// the kind, both results are empty.
func (c *Connection) ClusterNetworkPolicies(ctx context.Context) (list []unstructured.Unstructured, served []string, err error) {
	resources, err := c.served(ctx, read.Group)
	if err != nil {
		return nil, nil, err
	}
	for _, version := range slices.Sorted(maps.Keys(resources)) {
		if slices.Contains(resources[version], tierKinds[0].resource) {
			served = append(served, version)
		}
	}
	at := slices.IndexFunc(read.Versions, func(version string) bool { return slices.Contains(served, version) })
	if at < 0 {
		return nil, served, nil
	}
	page := tierList(clusterNetworkPolicy, read.Versions[at])
	err = c.list(ctx, page, func() { list = append(list, page.Items...) })
	return list, served, err
}

// The method `served` returns the resources of each version of an API group. If the cluster does
// not serve the group, the result is empty.
func (c *Connection) served(ctx context.Context, name string) (map[string][]string, error) {
	var group metav1.APIGroup
	if err := c.getJSON(ctx, "/apis/"+name, &group); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	served := map[string][]string{}
	for _, version := range group.Versions {
		resources, err := c.Resources(ctx, version.GroupVersion)
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
		served[version.Version] = resources
	}
	return served, nil
}
