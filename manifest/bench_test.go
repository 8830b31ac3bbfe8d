package manifest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// dumpedPod is a template for a pod in the format in which kubectl prints it. The parameters
// of the template are numbers from which the name, the address and the labels are made.
const dumpedPod = `apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: "2026-01-01T00:00:00Z"
  generateName: web-5d4f8-
  labels: {app: web-%[2]d, pod-template-hash: 5d4f8, tier: front}
  name: web-5d4f8-%[1]d
  namespace: team-%[3]d
  ownerReferences: [{apiVersion: apps/v1, blockOwnerDeletion: true, controller: true, kind: ReplicaSet, name: web-5d4f8, uid: 00000000-0000-4000-8000-000000000000}]
  resourceVersion: "%[1]d"
  uid: 00000000-0000-4000-8000-%012[1]d
spec:
  containers:
  - args: [--listen=:8080, --log-level=info, --leader-elect=true]
    env: [{name: POD_NAME, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.name}}}, {name: GOGC, value: "100"}]
    image: registry.example/team/image:v1.2.3
    imagePullPolicy: IfNotPresent
    livenessProbe: {failureThreshold: 3, httpGet: {path: /healthz, port: 8080, scheme: HTTP}, periodSeconds: 10, successThreshold: 1, timeoutSeconds: 1}
    name: web
    ports: [{containerPort: 8080, name: http, protocol: TCP}]
    readinessProbe: {failureThreshold: 3, httpGet: {path: /readyz, port: 8080, scheme: HTTP}, periodSeconds: 10, successThreshold: 1, timeoutSeconds: 1}
    resources: {limits: {cpu: "1", memory: 512Mi}, requests: {cpu: 100m, memory: 128Mi}}
    terminationMessagePath: /dev/termination-log
    volumeMounts: [{mountPath: /var/run/secrets/kubernetes.io/serviceaccount, name: kube-api-access-x, readOnly: true}]
  dnsPolicy: ClusterFirst
  nodeName: node-%[3]d
  priority: 0
  restartPolicy: Always
  schedulerName: default-scheduler
  securityContext: {}
  serviceAccountName: default
  terminationGracePeriodSeconds: 30
  tolerations: [{effect: NoExecute, key: node.kubernetes.io/not-ready, operator: Exists, tolerationSeconds: 300}, {effect: NoExecute, key: node.kubernetes.io/unreachable, operator: Exists, tolerationSeconds: 300}]
  volumes: [{name: kube-api-access-x, projected: {defaultMode: 420, sources: [{serviceAccountToken: {expirationSeconds: 3607, path: token}}]}}]
status:
  conditions: [{lastProbeTime: null, lastTransitionTime: "2026-01-01T00:00:00Z", status: "True", type: Ready}, {lastProbeTime: null, lastTransitionTime: "2026-01-01T00:00:00Z", status: "True", type: PodScheduled}]
  containerStatuses: [{containerID: "containerd://0123456789abcdef0123456789abcdef", image: "registry.example/team/image:v1.2.3", lastState: {}, name: web, ready: true, restartCount: 0, started: true, state: {running: {startedAt: "2026-01-01T00:00:00Z"}}}]
  hostIP: 192.168.0.1
  phase: Running
  podIP: 10.0.%[4]d.%[5]d
  podIPs: [{ip: 10.0.%[4]d.%[5]d}]
  qosClass: Burstable
`

const dumpedPolicy = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {creationTimestamp: "2026-01-01T00:00:00Z", generation: 1, name: policy-%[1]d, namespace: team-%[2]d, resourceVersion: "1", uid: 00000000-0000-4000-9000-%012[1]d}
spec:
  ingress: [{from: [{podSelector: {matchLabels: {tier: front}}}], ports: [{port: 8080, protocol: TCP}]}]
  podSelector: {matchLabels: {app: web-%[2]d}}
  policyTypes: [Ingress]
`

// dump returns the objects of a cluster in each format in which kubectl can print objects. A key
// of the result is the name of a format.
func dump(b *testing.B, pods, policies int) map[string]string {
	b.Helper()
	var items []json.RawMessage
	var documents []string
	add := func(format string, args ...any) {
		item, err := yaml.YAMLToJSON(fmt.Appendf(nil, format, args...))
		if err != nil {
			b.Fatal(err)
		}
		document, err := yaml.JSONToYAML(item)
		if err != nil {
			b.Fatal(err)
		}
		items, documents = append(items, item), append(documents, string(document))
	}
	for i := range pods {
		add(dumpedPod, i, i%200, i%50, i>>8, i&255)
	}
	for i := range policies {
		add(dumpedPolicy, i, i%50)
	}
	list, err := json.MarshalIndent(map[string]any{"apiVersion": "v1", "kind": "List", "items": items}, "", "    ")
	if err != nil {
		b.Fatal(err)
	}
	block := "apiVersion: v1\nitems:\n"
	for _, document := range documents {
		block += "- " + strings.ReplaceAll(strings.TrimSuffix(document, "\n"), "\n", "\n  ") + "\n"
	}
	return map[string]string{
		"form=json":   string(list),
		"form=yaml":   block + "kind: List\n",
		"form=stream": strings.Join(documents, "---\n"),
	}
}

// BenchmarkReadDump reads a dump of 5,000 pods and 1,000 policies.
func BenchmarkReadDump(b *testing.B) {
	for name, text := range dump(b, 5000, 1000) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				set, err := read(text)
				if err != nil || len(set.Pods) != 5000 || len(set.Policies) != 1000 {
					b.Fatal(err)
				}
			}
		})
	}
}
