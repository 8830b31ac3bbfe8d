package lint_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluicenet/sluice/policy/lint"
)

// withServices contains Services of the pods in shop, a pod without declared ports, the Service of the
// API server, and a CronJob between two runs.
const withServices = more + `
---
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {addresses: [{type: InternalIP, address: 192.168.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: silent, namespace: shop, labels: {app: silent}}
spec: {containers: [{image: x}]}
status: {phase: Running, podIP: 10.0.0.7}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, clusterIP: 10.96.0.1, externalIPs: [192.0.2.7, 192.168.0.1], selector: {app: web}, ports: [{port: 80, targetPort: http, nodePort: 30080}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {clusterIP: 10.96.0.2, selector: {app: db}, ports: [{port: 5432}, {name: admin, port: 81, targetPort: 9999}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: shop}
spec: {clusterIP: None, selector: {app: both}, ports: [{port: 7000, targetPort: 7001}]}
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.3, ports: [{name: https, port: 443, targetPort: 6443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
ports: [{name: https, port: 6444}]
endpoints: [{addresses: [192.168.0.9]}]
---
apiVersion: v1
kind: Service
metadata: {name: manual, namespace: shop}
spec: {clusterIP: 10.96.0.4, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, selector: {k8s-app: kube-dns}, ports: [{port: 53, protocol: UDP}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: nightly}}, spec: {containers: [{image: x}]}}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: none, namespace: shop}
spec: {template: {metadata: {labels: {app: none}}, spec: {containers: [{image: x}]}}}
`

const (
	selectOf  = "podSelector: {matchLabels: {app: "
	allowDNS  = "{ports: [{port: 53, protocol: UDP}]}"
	egressWeb = selectOf + "web}}, policyTypes: [Egress], egress: [" + allowDNS + ", "
)

// toBlock returns a policy with an egress rule that allows a CIDR. The `ports` parameter is the
// field `ports` of this rule, or empty.
func toBlock(cidr, ports string) string {
	return np(egressWeb + "{to: [{ipBlock: {cidr: " + cidr + "}}], " + ports + "}]")
}

// withPort returns a policy for the pods whose label `app` has the given value. Its ingress rule
// allows one port.
func withPort(app, port string) string {
	return np(selectOf + app + "}}, ingress: [{ports: [{port: " + port + "}]}]")
}

// TestServices tests the checks that need Services, declared ports or workloads. It runs them on
// policies that have the mistake, and on similar policies that do not have it.
func TestServices(t *testing.T) {
	const place, port = "spec.egress[1].to[0].ipBlock.cidr", "spec.ingress[0].ports[0].port"
	for name, test := range map[string]struct {
		policy string
		want   []string
		// text must be a part of the message or the fix of the first finding.
		text string
	}{
		"the address of a Service":              {toBlock("10.96.0.2/32", "ports: [{port: 5432}]"), []string{"warning service-address " + place}, "select the pods of the Service: podSelector: {matchLabels: {app: db}}"},
		"the address and a port of a Service":   {toBlock("10.96.0.1/32", "ports: [{port: 80}]"), []string{"warning service-address " + place}, "podSelector: {matchLabels: {app: web}}; allow TCP 8080 instead of 80"},
		"a Service without a selector":          {toBlock("10.96.0.3/32", "ports: [{port: 443}]"), []string{"warning service-address " + place}, "such as ipBlock: {cidr: 192.168.0.9/32}; allow TCP 6444 instead of 443"},
		"a Service without backends":            {toBlock("10.96.0.4/32", ""), []string{"warning service-address " + place}, "kubectl get endpointslices -n shop"},
		"an external address of a Service":      {toBlock("192.0.2.7/32", ""), []string{"warning service-address " + place}, "192.0.2.7 is an address of Service shop/web"},
		"a node's address of a Service":         {toBlock("192.168.0.1/32", ""), nil, ""},
		"the range of Services":                 {toBlock("10.96.0.0/16", ""), []string{"note service-address " + place}, "10.96.0.0/16 contains addresses of Services, such as 10.96.0.1 of Service shop/web, and none of pods"},
		"a range of Services and pods":          {toBlock("10.0.0.0/8", ""), []string{"note block-of-pod " + place}, ""},
		"a range of Services, except these":     {toBlock("10.96.0.0/28, except: [10.96.0.0/28]", ""), []string{"warning except-equals-cidr spec.egress[1].to[0].ipBlock.except[0]"}, ""},
		"all addresses except those of pods":    {toBlock("0.0.0.0/0, except: [10.0.0.0/16]", ""), nil, ""},
		"another address":                       {toBlock("10.96.0.9/32", ""), nil, ""},
		"from the address of a Service":         {np(selectOf + "web}}, ingress: [{from: [{ipBlock: {cidr: 10.96.0.2/32}}]}]"), []string{"warning service-address spec.ingress[0].from[0].ipBlock.cidr"}, "no connection comes from the address of a Service"},
		"from an external address of a Service": {np(selectOf + "web}}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.7/32}}]}]"), nil, ""},
		"a network of an administrator":         {cnp("a", "Admin", 1, "", egressOf("Deny", "{networks: [10.96.0.2/32]}")), []string{"warning service-address spec.egress[0].to[0].networks"}, "pods: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}, podSelector: {matchLabels: {app: db}}}"},

		"the port of a Service":                   {withPort("web", "80"), []string{"warning service-port " + port}, "TCP 80 is the port of Service shop/web, which translates it to TCP 8080 of the pods"},
		"the named port of a Service":             {withPort("web", "80"), []string{"warning service-port " + port}, "write port: http, the port of the pods"},
		"the node port of a Service":              {withPort("web", "30080"), []string{"warning service-port " + port}, "TCP 30080 is the node port of Service shop/web"},
		"the port of the pods":                    {withPort("web", "8080"), nil, ""},
		"both ports":                              {withPort("web", "80}, {port: 8080"), nil, ""},
		"both ports, by name":                     {withPort("web", "80}, {port: http"), nil, ""},
		"a range with the port of a Service":      {withPort("web", "80, endPort: 9000"), nil, ""},
		"the port of a Service, another protocol": {withPort("web", "80, protocol: UDP"), []string{"note undeclared-port " + port}, ""},
		"the port of one of several Services":     {withPort("db", "81"), []string{"warning service-port " + port}, "write port: 9999"},
		"the port of a Service and of pods":       {withPort("db", "5432"), nil, ""},
		"the port of a headless Service":          {withPort("both", "7000"), nil, ""},
		"the port of a Service, other pods":       {np("podSelector: {}, ingress: [{ports: [{port: 80}]}]"), nil, ""},
		"the port of a Service as egress":         {np(egressWeb + "{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 81}]}]"), []string{"warning service-port spec.egress[1].ports[0].port"}, ""},
		"the port of a Service, everywhere":       {np(egressWeb + "{ports: [{port: 80}]}]"), nil, ""},
		"the port of a Service, also outside":     {np(egressWeb + "{to: [{podSelector: {matchLabels: {app: web}}}, {ipBlock: {cidr: 192.0.2.0/28, except: [192.0.2.7/32]}}], ports: [{port: 80}]}]"), nil, ""},
		"Deny of the port of a Service":           {cnp("a", "Admin", 1, "pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}", ingress("Deny", ops, http)), []string{"warning service-port spec.ingress[0].protocols[0]"}, "write port: http"},

		"a port that no container declares":   {withPort("db", "5433"), []string{"note undeclared-port " + port}, "no pod that the policy selects declares TCP 5433; they declare TCP 5432"},
		"a range that no container declares":  {withPort("db", "1, endPort: 5000"), []string{"note undeclared-port " + port}, "declares a port of TCP 1-5000"},
		"a range with a declared port":        {withPort("db", "5000, endPort: 6000"), nil, ""},
		"the target of a Service":             {withPort("db", "9999"), nil, ""},
		"pods that declare no port":           {withPort("silent", "80"), nil, ""},
		"pods of which some declare no port":  {np("podSelector: {}, ingress: [{ports: [{port: 1}]}]"), nil, ""},
		"a port of another protocol":          {withPort("db", "5432, protocol: UDP"), []string{"note undeclared-port " + port}, ""},
		"every port of a protocol":            {np(selectOf + "db}}, ingress: [{ports: [{protocol: UDP}]}]"), nil, ""},
		"a port of peers":                     {np(egressWeb + "{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 1}]}]"), []string{"note undeclared-port spec.egress[1].ports[0].port"}, "no pod that the rule's peers match declares TCP 1"},
		"Deny of a port that pods do not use": {cnp("a", "Admin", 1, "pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}", ingress("Deny", ops, http)), nil, ""},

		"a CronJob without running pods":      {np(selectOf + "nightly}}"), []string{"note runs-sometimes spec.podSelector"}, "the pods of CronJob nightly"},
		"from a CronJob without running pods": {np(selectOf + "web}}, ingress: [{from: [{podSelector: {matchLabels: {app: nightly}}}]}]"), []string{"note runs-sometimes spec.ingress[0].from[0]"}, "the pods of CronJob nightly"},
		"a Deployment without running pods":   {np(selectOf + "none}}"), nil, ""},
		"a CronJob and other pods":            {np("podSelector: {matchExpressions: [{key: app, operator: In, values: [nightly, web]}]}"), nil, ""},

		"the address of the DNS Service":         {np(strings.Replace(egressWeb, allowDNS, "{to: [{ipBlock: {cidr: 10.96.0.10/32}}], ports: [{port: 53, protocol: UDP}]}", 1) + "]"), []string{"warning service-address spec.egress[0].to[0].ipBlock.cidr", "warning no-dns spec.egress"}, "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}"},
		"the address of the DNS cache's Service": {nodeLocal + np(strings.Replace(egressWeb, allowDNS, "{to: [{ipBlock: {cidr: 10.96.0.10/32}}], ports: [{port: 53, protocol: UDP}]}", 1)+"]"), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, findings := look(t, withServices+test.policy)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Fatalf("findings (-want +got):\n%s", diff)
			}
			if test.text != "" && !strings.Contains(findings[0].Message+" "+findings[0].Fix, test.text) {
				t.Errorf("finding %+v, want the text %q", findings[0], test.text)
			}
		})
	}
}

// TestDNSService checks that the finding no-dns considers the DNS Service.
func TestDNSService(t *testing.T) {
	const (
		pods = `
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: v1
kind: Namespace
metadata: {name: kube-system}
`
		resolver = `
---
apiVersion: v1
kind: Pod
metadata: {name: resolver, namespace: kube-system, labels: {app: resolver}}
spec: {containers: [{ports: [{containerPort: 5353, protocol: UDP}]}]}
status: {phase: Running, podIP: 10.0.2.1}
`
		dnsService = `
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system}
spec: {clusterIP: 10.96.0.10, selector: {app: resolver}, ports: [{port: 53, protocol: UDP, targetPort: 5353}]}
`
		egress   = "podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: "
		inSystem = "to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]"
		block    = "to: [{ipBlock: {cidr: 10.96.0.10/32}}], ports: [{port: 53, protocol: UDP}]"
	)
	for name, test := range map[string]struct {
		objects string
		// If cause is empty, there must be no finding no-dns.
		cause, fix string
	}{
		"the port of the Service":         {pods + resolver + dnsService + np(egress+"[{"+inSystem+", ports: [{port: 53, protocol: UDP}]}]"), "the DNS servers listen on port 5353", "port 5353 to the DNS pods in namespace kube-system"},
		"the port of the DNS servers":     {pods + resolver + dnsService + np(egress+"[{"+inSystem+", ports: [{port: 5353, protocol: UDP}]}]"), "", ""},
		"the address of the Service":      {pods + resolver + dnsService + np(egress+"[{"+block+"}]"), "egress[0] allows 10.96.0.10, the address of the DNS Service kube-system/kube-dns", "port 5353 to the DNS pods"},
		"the range of Services":           {pods + resolver + dnsService + np(egress+"[{to: [{ipBlock: {cidr: 10.96.0.0/12}}], ports: [{port: 53, protocol: UDP}]}]"), "egress[0] allows 10.96.0.10", "port 5353 to the DNS pods"},
		"an address without a Service":    {pods + resolver + np(egress+"[{"+block+"}]"), "", ""},
		"the Service without DNS servers": {pods + dnsService + np(egress+"[{"+block+"}]"), "egress[0] allows 10.96.0.10", "to pods k8s-app=kube-dns"},
		"the Service and a DNS cache":     {pods + resolver + dnsService + nodeLocal + np(egress+"[{"+block+"}]"), "", ""},
		"a DNS cache, not allowed":        {pods + resolver + dnsService + nodeLocal + np(egress+"[{"+inSystem+"}]"), "the DNS cache of their node", "169.254.20.10/32}, the DNS cache of the node, and to 10.96.0.10/32, the address of the DNS Service"},
	} {
		t.Run(name, func(t *testing.T) {
			_, findings := look(t, test.objects)
			at := slices.IndexFunc(findings, func(f lint.Finding) bool { return f.Check == "no-dns" })
			switch {
			case at < 0 && test.cause != "":
				t.Errorf("findings %+v, want no-dns", findings)
			case at >= 0 && (test.cause == "" || !strings.Contains(findings[at].Message, test.cause) || !strings.Contains(findings[at].Fix, test.fix)):
				t.Errorf("finding %+v, want the cause %q and the fix %q", findings[at], test.cause, test.fix)
			}
		})
	}
}
