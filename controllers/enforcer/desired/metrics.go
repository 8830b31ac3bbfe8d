package desired

import (
	"maps"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// defaultPort is the port of the node on which the agent serves metrics, statuses and flow
// events, unless the Enforcer specifies another port. The pod does not declare the port: in
// the host network, a declared port is a host port, and two pods with the same host port
// cannot run on a node. While a pod is being replaced, only the publishing agent listens.
const defaultPort = 9640

// metricsPort is the name of the port in the Service.
const metricsPort = "metrics"

// Values of the label `endpoint` of metrics. Alerts use these values.
const (
	AgentMetrics     = "agent-metrics"
	DataplaneMetrics = "plane-metrics"
)

// Port returns the port of the node on which the agent serves metrics, statuses and flow
// events.
func Port(spec *v1alpha1.EnforcerSpec) int32 { return ptr.Deref(spec.Endpoint.Port, defaultPort) }

// endpointArguments returns the arguments of the agent for the endpoint of the node.
func endpointArguments(spec *v1alpha1.EnforcerSpec) []string {
	port := strconv.Itoa(int(Port(spec)))
	switch spec.Endpoint.Mode {
	case v1alpha1.EndpointDisabled:
		return []string{"--metrics-address", "0"}
	case v1alpha1.EndpointLocalhost:
		return []string{"--metrics-address", net.JoinHostPort("127.0.0.1", port), "--metrics-plain"}
	default:
		return []string{"--metrics-address", ":" + port}
	}
}

// metricsService returns the headless Service for the metrics of all nodes.
func metricsService(spec *v1alpha1.EnforcerSpec, namespace string) *unstructured.Unstructured {
	port := int64(Port(spec))
	return Object(ServiceKind, namespace, MetricsName, Labels(ComponentNode), map[string]any{
		"clusterIP": corev1.ClusterIPNone,
		"selector":  asFields(Labels(ComponentNode)),
		// Prometheus must also find pods that are not ready, because their metrics can show
		// why.
		"publishNotReadyAddresses": true,
		"ports":                    []any{map[string]any{"name": metricsPort, "port": port, "targetPort": port, "protocol": "TCP"}},
	})
}

// ServiceMonitor returns a ServiceMonitor. The Prometheus operator uses it to find the metrics
// Service. The ServiceMonitor has the labels in the spec of the Enforcer. Unless
// spec.endpoint.mode is Authenticated, the list of endpoints is empty, because Prometheus
// cannot reach the nodes.
func ServiceMonitor(enforcer *v1alpha1.Enforcer, namespace string) *unstructured.Unstructured {
	spec, endpoints := &enforcer.Spec, []any{}
	if spec.Endpoint.Mode == "" || spec.Endpoint.Mode == v1alpha1.EndpointAuthenticated {
		endpoints = []any{scrape("/metrics", AgentMetrics), scrape("/metrics/dataplane", DataplaneMetrics)}
	}
	labels := Labels(ComponentNode)
	if spec.Monitoring != nil {
		maps.Copy(labels, spec.Monitoring.Labels)
	}
	return WithOwner(enforcer, Object(ServiceMonitorKind, namespace, MetricsName, labels, map[string]any{
		"selector":  map[string]any{"matchLabels": asFields(Labels(ComponentNode))},
		"endpoints": endpoints,
	}))
}

// scrape returns an endpoint of a ServiceMonitor. Prometheus authenticates with the token of
// its service account. It cannot verify the certificate of the agent, because the
// certificate is self-signed.
func scrape(path, name string) map[string]any {
	return map[string]any{
		"port": metricsPort, "path": path, "scheme": "https",
		"bearerTokenFile": "/var/run/secrets/kubernetes.io/serviceaccount/token",
		"tlsConfig":       map[string]any{"insecureSkipVerify": true},
		"relabelings": []any{
			// Alerts refer to the label "node", so it must contain the name of the node.
			map[string]any{"sourceLabels": []any{"__meta_kubernetes_pod_node_name"}, "targetLabel": "node", "action": "replace"},
			// The agent and the dataplane share a port, so the label "endpoint" distinguishes them.
			map[string]any{"replacement": name, "targetLabel": "endpoint", "action": "replace"},
			// While a pod is being replaced, a node has two pods with the same address. Without
			// the pod names, Prometheus treats both pods as the same target.
			map[string]any{"regex": "pod", "action": "labeldrop"},
		},
	}
}
