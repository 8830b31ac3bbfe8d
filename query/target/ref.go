// Package target interprets what users specify as the destination of a flow: references to
// objects, such as svc/db, and the backends of a Service.
package target

import "strings"

// Service and Pod are the kinds of a Ref that are not workloads.
const (
	Service = "Service"
	Pod     = "Pod"
)

// Ref is a reference to an object.
type Ref struct {
	// Kind is Pod, Service or the kind of a workload. If the user specified no kind, it is "".
	Kind string
	// Namespace is "" if the user specified no namespace.
	Namespace, Name string
}

// kinds contains the names that kubectl accepts for each kind.
var kinds = map[string]string{
	"po": Pod, "pod": Pod, "pods": Pod,
	"svc": Service, "service": Service, "services": Service,
	"deploy": "Deployment", "deployment": "Deployment", "deployments": "Deployment",
	"sts": "StatefulSet", "statefulset": "StatefulSet", "statefulsets": "StatefulSet",
	"ds": "DaemonSet", "daemonset": "DaemonSet", "daemonsets": "DaemonSet",
	"rs": "ReplicaSet", "replicaset": "ReplicaSet", "replicasets": "ReplicaSet",
	"rc": "ReplicationController", "replicationcontroller": "ReplicationController", "replicationcontrollers": "ReplicationController",
	"job": "Job", "jobs": "Job",
	"cj": "CronJob", "cronjob": "CronJob", "cronjobs": "CronJob",
}

// Parse parses a reference in one of these forms:
//
//	web-0                           a name
//	shop/web-0                      a namespace and a name
//	deploy/web, deployment.apps/web a type and a name, as for kubectl
//	shop/deploy/web                 a namespace, a type and a name
//	db.shop.svc.cluster.local       the DNS name of a Service
//
// If the text contains no namespace, the `namespace` parameter is the namespace of the reference.
func Parse(text, namespace string) Ref {
	if ref, ok := parseDNS(text); ok {
		return ref
	}
	parts := strings.Split(text, "/")
	switch {
	case len(parts) == 2 && kindOf(parts[0]) != "":
		return Ref{Kind: kindOf(parts[0]), Namespace: namespace, Name: parts[1]}
	case len(parts) == 3 && kindOf(parts[1]) != "":
		return Ref{Kind: kindOf(parts[1]), Namespace: parts[0], Name: parts[2]}
	}
	return ParseName(text, namespace)
}

// ParseName parses a reference that is a name, or a namespace and a name. Parse interprets some of
// these references as a type and a name, because a namespace can have the name of a type.
func ParseName(text, namespace string) Ref {
	if before, after, ok := strings.Cut(text, "/"); ok {
		return Ref{Namespace: before, Name: after}
	}
	return Ref{Namespace: namespace, Name: text}
}

// kindOf returns the kind for a type, or "" if there is no such type. The type can end with an API
// group, as in deployments.apps.
func kindOf(text string) string {
	name, _, _ := strings.Cut(strings.ToLower(text), ".")
	return kinds[name]
}

// parseDNS parses the DNS name of a Service.
func parseDNS(text string) (ref Ref, ok bool) {
	parts := strings.SplitN(strings.TrimSuffix(text, "."), ".", 4)
	if len(parts) < 3 || parts[2] != "svc" || strings.Contains(text, "/") {
		return Ref{}, false
	}
	return Ref{Kind: Service, Namespace: parts[1], Name: parts[0]}, true
}
