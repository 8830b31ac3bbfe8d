package v1alpha1_test

import (
	"context"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/dataplane/engine"
	"github.com/sluicenet/sluice/test/kube"
)

var server *kube.Server

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }

// enforcer returns an Enforcer with the given name and with a spec in YAML, as a user would
// write it.
func enforcer(t *testing.T, name, spec string) *unstructured.Unstructured {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Enforcer"))
	object.SetName(name)
	if spec != "" {
		var content map[string]any
		if err := yaml.Unmarshal([]byte(spec), &content); err != nil {
			t.Fatalf("spec of the test: %v", err)
		}
		object.Object["spec"] = content
	}
	return object
}

// TestEnforcerDefaults checks the defaults that the API server adds to specs with missing
// fields.
func TestEnforcerDefaults(t *testing.T) {
	want := map[string]any{
		"failurePolicy":  "Closed",
		"denyAction":     "Drop",
		"queues":         map[string]any{"base": int64(2700)},
		"markMask":       "0x60",
		"tolerations":    []any{map[string]any{"operator": "Exists"}},
		"agent":          map[string]any{"resources": map[string]any{"requests": map[string]any{"cpu": "20m", "memory": "64Mi"}}},
		"dataplane":      map[string]any{"resources": map[string]any{"requests": map[string]any{"cpu": "250m", "memory": "32Mi"}}},
		"denialLog":      map[string]any{"linesPerSecond": int64(10)},
		"endpoint":       map[string]any{"mode": "Authenticated", "port": int64(9640)},
		"log":            map[string]any{"level": "Info", "format": "JSON"},
		"cniResults":     "/var/lib/cni/results",
		"hold":           engine.DefaultHold.String(),
		"updateStrategy": map[string]any{"type": "Surge", "maxUnavailable": "10%"},
		"freeAfter":      "60s",
	}
	typed := &v1alpha1.Enforcer{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.EnforcerName}}
	typed.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Enforcer"))
	tests := map[string]client.Object{
		"no spec":       enforcer(t, v1alpha1.EnforcerName, ""),
		"empty spec":    enforcer(t, v1alpha1.EnforcerName, "{}"),
		"empty parts":   enforcer(t, v1alpha1.EnforcerName, "{queues: {}, denialLog: {}, log: {}, endpoint: {}}"),
		"from the type": typed,
	}
	c := server.Client(t)
	for name, object := range tests {
		t.Run(name, func(t *testing.T) {
			want := want
			if err := c.Create(t.Context(), object, client.DryRunAll); err != nil {
				t.Fatal(err)
			}
			stored := &unstructured.Unstructured{}
			switch object := object.(type) {
			case *unstructured.Unstructured:
				stored = object
			default:
				// Create has updated the typed object with the response of the API server.
				content, err := yaml.Marshal(object)
				if err != nil {
					t.Fatal(err)
				}
				if err := yaml.Unmarshal(content, &stored.Object); err != nil {
					t.Fatal(err)
				}
				want = maps.Clone(want)
				// The Go type formats a duration of 60s as 1m0s.
				want["freeAfter"] = time.Minute.String()
			}
			if diff := cmp.Diff(want, integers(stored.Object["spec"])); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}

// integers converts numbers to int64, as the JSON decoder of the API server does.
func integers(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			value[key] = integers(item)
		}
	case []any:
		for i, item := range value {
			value[i] = integers(item)
		}
	case float64:
		return int64(value)
	}
	return value
}

// TestInvalidEnforcerIsRejected checks that the API server rejects invalid specs with
// a message that describes the fix.
func TestInvalidEnforcerIsRejected(t *testing.T) {
	const name = v1alpha1.EnforcerName
	tests := map[string]struct {
		name, spec string
		wantField  string
		wantWords  string
	}{
		"another name":             {"second", "{}", "", "a cluster has one Enforcer: write metadata.name: default"},
		"failure policy":           {name, "{failurePolicy: Ajar}", "spec.failurePolicy", `supported values: "Closed", "Open"`},
		"deny action":              {name, "{denyAction: Ignore}", "spec.denyAction", `supported values: "Drop", "Reject"`},
		"mask of one bit":          {name, `{markMask: "0x40"}`, "spec.markMask", `write them in hexadecimal, such as "0x60"`},
		"mask of three bits":       {name, `{markMask: "0x70"}`, "spec.markMask", "exactly two bits"},
		"mask of two and one bit":  {name, `{markMask: "0x61"}`, "spec.markMask", "exactly two bits"},
		"mask of no bit":           {name, `{markMask: "0x0"}`, "spec.markMask", "exactly two bits"},
		"mask in decimal":          {name, `{markMask: "96"}`, "spec.markMask", "in hexadecimal"},
		"mask over 32 bits":        {name, `{markMask: "0x600000000"}`, "spec.markMask", "may not be more than 10"},
		"queues over the end":      {name, "{queues: {base: 65530, count: 3}}", "spec.queues", "base + 2 * count is at most 65532"},
		"no queue":                 {name, "{queues: {count: 0}}", "spec.queues.count", "greater than or equal to 1"},
		"negative queue":           {name, "{queues: {base: -1}}", "spec.queues.base", "greater than or equal to 0"},
		"image with a space":       {name, "{image: 'sluice: v1'}", "spec.image", "REGISTRY/NAME:TAG"},
		"toleration without a key": {name, "{tolerations: [{effect: NoSchedule}]}", "spec.tolerations[0]", "add operator: Exists"},
		"toleration with a value":  {name, "{tolerations: [{key: a, operator: Exists, value: b}]}", "spec.tolerations[0]", "remove value, or write operator: Equal"},
		"taint effect":             {name, "{tolerations: [{operator: Exists, effect: Never}]}", "spec.tolerations[0].effect", `"NoExecute"`},
		"request over limit":       {name, "{agent: {resources: {requests: {memory: 1Gi}, limits: {memory: 512Mi}}}}", "spec.agent.resources", "lower the request or raise the limit"},
		"unknown resource":         {name, "{dataplane: {resources: {limits: {disk: 1Gi}}}}", "spec.dataplane.resources.limits", "write cpu, memory or ephemeral-storage"},
		"negative resource":        {name, "{dataplane: {resources: {requests: {cpu: '-1'}}}}", "spec.dataplane.resources.requests", "write 0 or more"},
		"unknown endpoint mode":    {name, "{endpoint: {mode: Open}}", "spec.endpoint.mode", "supported values"},
		"no such port":             {name, "{endpoint: {port: 65536}}", "spec.endpoint.port", "less than or equal to 65535"},
		"too many log lines":       {name, "{denialLog: {linesPerSecond: 1000000}}", "spec.denialLog.linesPerSecond", "less than or equal to 10000"},
		"unknown log level":        {name, "{log: {level: Loud}}", "spec.log.level", `"Debug"`},
		"unknown log format":       {name, "{log: {format: XML}}", "spec.log.format", `"Text"`},
		"relative CNI results":     {name, "{cniResults: var/lib/cni}", "spec.cniResults", "absolute path"},
		"CNI results in the root":  {name, "{cniResults: /}", "spec.cniResults", "absolute path"},
		"CNI results above":        {name, "{cniResults: /var/../etc}", "spec.cniResults", "absolute path"},
		"CNI results with a colon": {name, "{cniResults: '/var/lib:/etc'}", "spec.cniResults", "absolute path"},
		"CNI results of ours":      {name, "{cniResults: /run/sluice/tree}", "spec.cniResults", "directory of Sluice"},
		"CNI results of kernel":    {name, "{cniResults: /proc}", "spec.cniResults", "of the kernel"},
		"hold over the limit":      {name, "{hold: " + (engine.MaxHold + time.Millisecond).String() + "}", "spec.hold", `from 0s to 30s: write it as in "3s"`},
		"hold of a minute":         {name, "{hold: 1m}", "spec.hold", "from 0s to 30s"},
		"negative hold":            {name, "{hold: -1s}", "spec.hold", "from 0s to 30s"},
		"hold without a unit":      {name, "{hold: '3'}", "spec.hold", "from 0s to 30s"},
		"hold as a number":         {name, "{hold: 3}", "spec.hold", "must be of type string"},
		"hold of hours":            {name, "{hold: 99999999999h}", "spec.hold", "from 0s to 30s"},
		"empty hold":               {name, "{hold: ''}", "spec.hold", "from 0s to 30s"},
		"freeAfter over the limit": {name, "{freeAfter: 24h1s}", "spec.freeAfter", `from 0s to 24h: write it as in "60s"`},
		"negative freeAfter":       {name, "{freeAfter: -1s}", "spec.freeAfter", "from 0s to 24h"},
		"freeAfter of many hours":  {name, "{freeAfter: 99999h99999h999h}", "spec.freeAfter", "from 0s to 24h"},
		"freeAfter without a unit": {name, "{freeAfter: '60'}", "spec.freeAfter", "from 0s to 24h"},
		"pod range of one address": {name, "{podRanges: [10.244.0.0/16, 10.0.0.1]}", "spec.podRanges[1]", `write it as in "10.244.0.0/16"`},
		"pod range over 32 bits":   {name, "{podRanges: [10.244.0.0/33]}", "spec.podRanges[0]", "is a CIDR of at least 8 bits"},
		"pod range without bits":   {name, "{podRanges: ['fd00::']}", "spec.podRanges[0]", "is a CIDR of at least 8 bits"},
		"pod range of every host":  {name, `{podRanges: ["::/0"]}`, "spec.podRanges[0]", "is a CIDR of at least 8 bits"},
		"no node at a time":        {name, "{updateStrategy: {maxUnavailable: 0}}", "spec.updateStrategy.maxUnavailable", "write it as in 5 or"},
		"no percent at a time":     {name, "{updateStrategy: {maxUnavailable: 0%}}", "spec.updateStrategy.maxUnavailable", "write it as in 5 or"},
		"too many percent":         {name, "{updateStrategy: {maxUnavailable: 101%}}", "spec.updateStrategy.maxUnavailable", "write it as in 5 or"},
		"number of nodes as text":  {name, "{updateStrategy: {maxUnavailable: '5'}}", "spec.updateStrategy.maxUnavailable", "write it as in 5 or"},
		"pull secret with a path":  {name, "{imagePullSecrets: [a/b]}", "spec.imagePullSecrets[0]", "lower case letters"},
		"API server as URL":        {name, "{apiServer: {host: 'https://10.0.0.1'}}", "spec.apiServer.host", "without scheme, port and brackets"},
		"API server with port":     {name, "{apiServer: {host: '10.0.0.1:6443'}}", "spec.apiServer.host", "without scheme, port and brackets"},
		"API server with brackets": {name, "{apiServer: {host: '[fd00::1]'}}", "spec.apiServer.host", "without scheme, port and brackets"},
		"API server port":          {name, "{apiServer: {host: a, port: 65536}}", "spec.apiServer.port", "less than or equal to 65535"},
		"SELinux context":          {name, "{seLinuxType: 'system_u:system_r:spc_t:s0'}", "spec.seLinuxType", "write it as in"},
		"label of the operator":    {name, "{monitoring: {labels: {app.kubernetes.io/name: a}}}", "spec.monitoring.labels", "belong to the operator"},
		"pod range of a name":      {name, "{podRanges: [pods/24]}", "spec.podRanges[0]", "is a CIDR of at least 8 bits"},
		"long CNI results":         {name, "{cniResults: /" + strings.Repeat("a", 256) + "}", "spec.cniResults", "Too long"},
	}
	c := server.Client(t)
	for test, tt := range tests {
		t.Run(test, func(t *testing.T) {
			err := c.Create(t.Context(), enforcer(t, tt.name, tt.spec), client.DryRunAll)
			if !apierrors.IsInvalid(err) {
				t.Fatalf("error %v, want that the object is rejected as invalid", err)
			}
			if message := err.Error(); !strings.Contains(message, tt.wantField) || !strings.Contains(message, tt.wantWords) {
				t.Errorf("message %q, want one about %q with %q", message, tt.wantField, tt.wantWords)
			}
		})
	}
}

// TestMarkMaskKeepsNoBit checks that the API server rejects a changed mark mask that shares a bit
// with the old mask, even if one of the two masks is the default. The API server must allow every
// other mask.
func TestMarkMaskKeepsNoBit(t *testing.T) {
	const none = ""
	tests := []struct {
		before, after string
		allowed       bool
	}{
		{"0x60", "0x60", true},
		{"0x60", "0x00000060", true},
		{"0xA0", "0xa0", true},
		{"0x60", "0x30000", true},
		{"0x60", "0x90", true},
		{"0x60", "0x600", true},
		{"0x80000001", "0x40000002", true},
		{none, "0x30000", true},
		{"0x30000", none, true},
		{none, none, true},
		{none, "0x60", true},
		{"0x60", "0xc0", false},
		{"0x60", "0x30", false},
		{"0x80000001", "0x3", false},
		{"0x00018000", "0x18", true},
		{"0x00018000", "0x8001", false},
		{"0xC0", "0xa0", false},
		{"0x6000", "0x04004", false},
		{none, "0x41", false},
		{"0x120", none, false},
	}
	spec := func(mask string) map[string]any {
		if mask == none {
			return map[string]any{"failurePolicy": "Closed"}
		}
		return map[string]any{"failurePolicy": "Closed", "markMask": mask}
	}
	c := server.Client(t)
	for _, tt := range tests {
		t.Run(tt.before+" to "+tt.after, func(t *testing.T) {
			object := enforcer(t, v1alpha1.EnforcerName, "{}")
			object.Object["spec"] = spec(tt.before)
			if err := c.Create(t.Context(), object); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := c.Delete(context.Background(), object); err != nil {
					t.Error(err)
				}
			}()
			object.Object["spec"] = spec(tt.after)
			err := c.Update(t.Context(), object, client.DryRunAll)
			if tt.allowed && err != nil {
				t.Errorf("rejected: %v", err)
			}
			if !tt.allowed && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "shares a bit with the old one")) {
				t.Errorf("error %v, want one about the shared bit", err)
			}
		})
	}
}

// TestValidEnforcerIsAccepted checks specs at the limits of validation.
func TestValidEnforcerIsAccepted(t *testing.T) {
	tests := map[string]string{
		"two bits in one digit":  `{markMask: "0xc0000000"}`,
		"two bits in two digits": `{markMask: "0x80000001"}`,
		"leading zeros":          `{markMask: "0x00018000"}`,
		"upper case":             `{markMask: "0xA0"}`,
		"last queue":             "{queues: {base: 65530, count: 1}}",
		"first queue":            "{queues: {base: 0, count: 256}}",
		"another port":           "{endpoint: {mode: Localhost, port: 19640}}",
		"no log":                 "{denialLog: {linesPerSecond: 0}}",
		"log":                    "{log: {level: Debug, format: Text}}",
		"no CNI results":         `{cniResults: ""}`,
		"other CNI results":      "{cniResults: /var/lib/rancher/k3s/..cni/results.d}",
		"nodes at a time":        "{updateStrategy: {maxUnavailable: 250}}",
		"percent at a time":      "{updateStrategy: {type: InPlace, maxUnavailable: 100%}}",
		"pull secrets":           "{imagePullSecrets: [registry, registry-2.example]}",
		"API server IPv4":        "{apiServer: {host: 10.0.0.1, port: 6443}}",
		"API server IPv6":        "{apiServer: {host: 'fd00::1'}}",
		"API server name":        "{apiServer: {host: api.example.com}}",
		"SELinux type":           "{seLinuxType: spc_t}",
		"monitoring labels":      "{monitoring: {labels: {release: prometheus}}}",
		"no hold":                "{hold: 0s}",
		"no freeAfter":           "{freeAfter: 0s}",
		"longest freeAfter":      "{freeAfter: 23h59m60s}",
		"startup taint":          "{startupTaint: true}",
		"pod ranges":             `{podRanges: [10.244.0.0/16, 10.0.0.0/8, "fd00:10:244::/56", "fd00::/8"]}`,
		"longest hold":           "{hold: " + engine.MaxHold.String() + "}",
		"longest hold in parts":  "{hold: 29s1000ms}",
		"half a minute":          "{hold: 0.5m}",
		"equal limit":            "{agent: {resources: {requests: {memory: 1Gi, cpu: 1}, limits: {memory: 1024Mi}}}}",
		"integers":               "{dataplane: {resources: {requests: {cpu: 1, memory: 1000000}, limits: {cpu: 2}}}}",
		"one node":               "{nodeSelector: {kubernetes.io/hostname: a}, tolerations: []}",
		"toleration":             "{tolerations: [{key: a, value: b, effect: NoExecute}, {key: a, operator: Exists}]}",
		"image by digest":        "{image: 'registry.example:5000/net/sluice@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08'}",
		"failure policy Open and deny action Reject": "{failurePolicy: Open, denyAction: Reject}",
	}
	c := server.Client(t)
	for name, spec := range tests {
		t.Run(name, func(t *testing.T) {
			if err := c.Create(t.Context(), enforcer(t, v1alpha1.EnforcerName, spec), client.DryRunAll); err != nil {
				t.Error(err)
			}
		})
	}
}
