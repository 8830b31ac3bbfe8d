// Package tiers contains the checks that only concern ClusterNetworkPolicies.
package tiers
