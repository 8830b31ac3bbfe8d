// Package tiers contains the manifests of the example with ClusterNetworkPolicies. They are not in
// the folder of package example, because commands in the documentation read that folder.
package tiers

import "embed"

// Files contains the manifests.
//
//go:embed *.yaml
var Files embed.FS
