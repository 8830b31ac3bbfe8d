package helm

import (
	"strings"
	"testing"
)

// TestRejectedValues checks that Helm rejects unknown and mistyped values, and that the error names
// the value.
func TestRejectedValues(t *testing.T) {
	for values, want := range map[string]string{
		"replicas: 2":                                       "additional properties 'replicas' not allowed",
		"image: sluice:v9":                                  "at '/image': got string, want object",
		"image: {repo: sluice}":                             "at '/image': additional properties 'repo' not allowed",
		"image: {repository: ''}":                           "at '/image/repository': minLength",
		"image: {tag: 1.0}":                                 "at '/image/tag': got number, want string",
		"image: {tag: 'a b'}":                               "at '/image/tag': 'a b' does not match pattern",
		"image: {digest: abc}":                              "at '/image/digest': 'abc' does not match pattern",
		"image: {pullPolicy: Sometimes}":                    "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
		"imagePullSecrets: [registry]":                      "at '/imagePullSecrets/0': got string, want object",
		"apiServer: {port: 70000}":                          "at '/apiServer/port': maximum: got 70,000, want 65,535",
		"labels: {version: 2}":                              "at '/labels/version': got number, want string",
		"operator: {replicas: two}":                         "at '/operator/replicas': got string, want integer",
		"operator: {resources: {limit: {cpu: 1}}}":          "at '/operator/resources': additional properties 'limit' not allowed",
		"operator: {resources: {limits: {cpu: [1]}}}":       "at '/operator/resources/limits/cpu': got array, want number or string",
		"operator: {tolerations: Exists}":                   "at '/operator/tolerations': got string, want array",
		"operator: {tolerations: [{Key: a}]}":               "at '/operator/tolerations/0': additional properties 'Key' not allowed",
		"operator: {affinity: {nodeAffinty: {}}}":           "at '/operator/affinity': additional properties 'nodeAffinty' not allowed",
		"operator: {log: {level: warning}}":                 "at '/operator/log/level': value must be one of 'error', 'info', 'debug'",
		"operator: {extraArgs: --metrics-plain}":            "at '/operator/extraArgs': got string, want array",
		"monitoring: {alerts: 'yes'}":                       "at '/monitoring/alerts': got string, want boolean",
		"monitoring: {readers: [{name: prometheus}]}":       "at '/monitoring/readers/0': missing property 'namespace'",
		"openshift: true":                                   "at '/openshift': got boolean, want object",
		"uninstall: {timeout: 5 minutes}":                   "at '/uninstall/timeout': '5 minutes' does not match pattern",
		"enforcer: {enabled: true}":                         "at '/enforcer': additional properties 'enabled' not allowed",
		"enforcer: {spec: {failurepolicy: Open}}":           "at '/enforcer/spec': additional properties 'failurepolicy' not allowed",
		"enforcer: {spec: {failurePolicy: Ajar}}":           "at '/enforcer/spec/failurePolicy': value must be one of 'Closed', 'Open'",
		"enforcer: {spec: {queues: {count: many}}}":         "at '/enforcer/spec/queues/count': got string, want integer",
		"enforcer: {spec: {queues: {count: 1000}}}":         "at '/enforcer/spec/queues/count': maximum: got 1,000, want 256",
		"enforcer: {spec: {imagePullSecrets: [{name: a}]}}": "at '/enforcer/spec/imagePullSecrets/0': got object, want string",
		"enforcer: {spec: {agent: {limits: {cpu: 1}}}}":     "at '/enforcer/spec/agent': additional properties 'limits' not allowed",
	} {
		_, err := render(t, namespace, values)
		if err == nil {
			t.Errorf("%s: no error", values)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error lacks %q: %v", values, want, err)
		}
	}
}
