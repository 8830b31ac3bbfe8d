package node

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// kind is a kind of object that the agent reads. Metrics and logs use it as a label.
type kind string

const (
	kindPolicy    kind = "NetworkPolicy"
	kindPod       kind = "Pod"
	kindNamespace kind = "Namespace"
	kindNode      kind = "Node"
)

// kindsByPath maps the end of a request path to the kind of the requested objects.
var kindsByPath = map[string]kind{
	"/apis/networking.k8s.io/v1/networkpolicies": kindPolicy,
	"/api/v1/pods":       kindPod,
	"/api/v1/namespaces": kindNamespace,
	"/api/v1/nodes":      kindNode,
}

// restMapper returns a REST mapper for the kinds that the agent reads and writes. The default
// mapper of controller-runtime would request the kinds from the API server, which may be
// unreachable at startup.
func restMapper() meta.RESTMapper {
	core, networking := corev1.SchemeGroupVersion, networkingv1.SchemeGroupVersion
	m := meta.NewDefaultRESTMapper([]schema.GroupVersion{core, networking, coordinationv1.SchemeGroupVersion, eventsv1.SchemeGroupVersion, v1alpha1.GroupVersion})
	m.Add(networking.WithKind(string(kindPolicy)), meta.RESTScopeNamespace)
	m.Add(core.WithKind(string(kindPod)), meta.RESTScopeNamespace)
	m.Add(core.WithKind(string(kindNamespace)), meta.RESTScopeRoot)
	m.Add(core.WithKind(string(kindNode)), meta.RESTScopeRoot)
	m.Add(core.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	m.Add(coordinationv1.SchemeGroupVersion.WithKind("Lease"), meta.RESTScopeNamespace)
	m.Add(eventsv1.SchemeGroupVersion.WithKind("Event"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("NodeEnforcer"), meta.RESTScopeRoot)
	return m
}
