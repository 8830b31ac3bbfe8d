package v1alpha1

// APIServer is an address of the Kubernetes API server.
type APIServer struct {
	// host is a DNS name or an IP address that the nodes can reach, without a scheme and
	// without brackets, for example 10.0.0.1, fd00::1 or api.example.com.
	// The field is required. Default: none.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]*::?[0-9A-Fa-f:.]*)$')",message="host is a DNS name or an IP address: write it without scheme, port and brackets, as in \"10.0.0.1\" or \"fd00::1\""
	Host string `json:"host"`

	// port is the TCP port, 1 to 65535. Default: 443.
	// +kubebuilder:default=443
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Port int32 `json:"port,omitempty"`
}

// Monitoring configures how Prometheus finds the metrics of the nodes.
type Monitoring struct {
	// labels are additional labels of the ServiceMonitor that the operator creates. A
	// Prometheus that selects ServiceMonitors by label needs them, for example {release:
	// prometheus}. Default: no additional labels.
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(key, !key.startsWith('app.kubernetes.io/') && self[key].size() <= 63)",message="the labels app.kubernetes.io/* belong to the operator, and a value has at most 63 characters: write other labels, such as release: prometheus"
	// +mapType=atomic
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
}

// SecretName is the name of a Secret in the namespace of the operator.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$')",message="the name of a Secret consists of lower case letters, digits, dots and hyphens"
type SecretName string
