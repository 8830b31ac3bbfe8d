package main

import (
	corev1 "k8s.io/api/core/v1"
)

// values is the type of values.yaml. The generator derives the schema of the values from this type.
// The map `constraints` adds rules that a Go type cannot express. The CRD of the kind Enforcer
// defines the schema of enforcer.spec.
type values struct {
	// Global contains the values that a parent chart shares with all its subcharts. Helm always
	// adds this value.
	Global           map[string]any                `json:"global"`
	Image            image                         `json:"image"`
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets"`
	APIServer        apiServer                     `json:"apiServer"`
	Labels           map[string]string             `json:"labels"`
	Annotations      map[string]string             `json:"annotations"`
	Enforcer         enforcer                      `json:"enforcer"`
	Operator         operator                      `json:"operator"`
	Monitoring       monitoring                    `json:"monitoring"`
	OpenShift        platform                      `json:"openshift"`
	GKE              platform                      `json:"gke"`
	Uninstall        uninstall                     `json:"uninstall"`
}

type image struct {
	Repository string `json:"repository"`
	Tag        string `json:"tag"`
	Digest     string `json:"digest"`
	PullPolicy string `json:"pullPolicy"`
}

type apiServer struct {
	Host string `json:"host"`
	Port int32  `json:"port"`
}

type enforcer struct {
	Create bool           `json:"create"`
	Spec   map[string]any `json:"spec"`
}

type operator struct {
	Replicas                  int32                             `json:"replicas"`
	Resources                 corev1.ResourceRequirements       `json:"resources"`
	NodeSelector              map[string]string                 `json:"nodeSelector"`
	Tolerations               []corev1.Toleration               `json:"tolerations"`
	Affinity                  corev1.Affinity                   `json:"affinity"`
	TopologySpreadConstraints []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints"`
	PriorityClassName         string                            `json:"priorityClassName"`
	PodLabels                 map[string]string                 `json:"podLabels"`
	PodAnnotations            map[string]string                 `json:"podAnnotations"`
	Ports                     operatorPorts                     `json:"ports"`
	Log                       operatorLog                       `json:"log"`
	ExtraArgs                 []string                          `json:"extraArgs"`
}

type operatorPorts struct {
	Health  int32 `json:"health"`
	Metrics int32 `json:"metrics"`
	Observe int32 `json:"observe"`
}

type operatorLog struct {
	Level  string `json:"level"`
	Format string `json:"format"`
}

type monitoring struct {
	ServiceMonitor bool              `json:"serviceMonitor"`
	Alerts         bool              `json:"alerts"`
	Dashboard      bool              `json:"dashboard"`
	Labels         map[string]string `json:"labels"`
	Readers        []reader          `json:"readers"`
}

type reader struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
}

type platform struct {
	Enabled bool `json:"enabled"`
}

type uninstall struct {
	Timeout string `json:"timeout"`
}

// constraints contains additional keywords of the schema by the path of the value.
var constraints = map[string]map[string]any{
	"image.repository":       {"minLength": 1, "pattern": `^[^\s@]*$`},
	"image.tag":              {"pattern": `^(\w[\w.-]{0,127})?$`},
	"image.digest":           {"pattern": `^(sha256:[0-9a-f]{64})?$`},
	"image.pullPolicy":       {"enum": []any{"Always", "IfNotPresent", "Never"}},
	"apiServer.port":         port,
	"operator.replicas":      {"minimum": 0},
	"operator.ports.health":  port,
	"operator.ports.metrics": port,
	"operator.ports.observe": port,
	"operator.log.level":     {"enum": []any{"error", "info", "debug"}},
	"operator.log.format":    {"enum": []any{"json", "text"}},
	"monitoring.readers[]":   {"required": []any{"namespace", "name"}},
	"uninstall.timeout":      {"pattern": `^([0-9]+(\.[0-9]+)?(s|m|h))+$`},
}

var port = map[string]any{"minimum": 1, "maximum": 65535}
