// Package tiers contains the checks that concern only ClusterNetworkPolicies.
package tiers
