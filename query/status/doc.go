// Package status states what a node (Node) or a cluster (Cluster) enforces. Like the answers of
// package query, both types have a method WriteText and a JSON form with an apiVersion and a kind.
package status
