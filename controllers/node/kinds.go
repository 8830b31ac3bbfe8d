package node

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/clusterpolicy"
	"github.com/sluicenet/sluice/controllers/node/connection"
)

// kind is a kind of object that the agent reads. Metrics and logs use it as a label.
type kind = connection.Kind

// restMapper returns a REST mapper for the kinds that the agent reads and writes. The default
// mapper of controller-runtime would request the kinds from the API server, which may be
// unreachable at startup.
func restMapper() meta.RESTMapper {
	core, networking := corev1.SchemeGroupVersion, networkingv1.SchemeGroupVersion
	m := meta.NewDefaultRESTMapper([]schema.GroupVersion{core, networking, coordinationv1.SchemeGroupVersion, eventsv1.SchemeGroupVersion, v1alpha1.GroupVersion})
	m.Add(networking.WithKind(string(connection.Policy)), meta.RESTScopeNamespace)
	m.Add(core.WithKind(string(connection.Pod)), meta.RESTScopeNamespace)
	m.Add(core.WithKind(string(connection.Namespace)), meta.RESTScopeRoot)
	m.Add(core.WithKind(string(connection.Node)), meta.RESTScopeRoot)
	m.Add(core.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	m.Add(clusterpolicy.DefinitionKind, meta.RESTScopeRoot)
	m.Add(coordinationv1.SchemeGroupVersion.WithKind("Lease"), meta.RESTScopeNamespace)
	m.Add(eventsv1.SchemeGroupVersion.WithKind("Event"), meta.RESTScopeNamespace)
	m.Add(v1alpha1.GroupVersion.WithKind("NodeEnforcer"), meta.RESTScopeRoot)
	return m
}
