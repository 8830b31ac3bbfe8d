// Package desired computes the objects that an Enforcer needs in the cluster: the rights of the
// agents, the DaemonSets and their pods, and the metrics Service. The functions depend only on
// their arguments and send no requests.
package desired
