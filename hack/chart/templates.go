package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"
)

// header is the beginning of every generated template.
const header = "{{- /* Generated"

// namespace is the namespace in config/. The chart uses the namespace of the release instead.
const namespace = "sluice-system"

// sources lists the generated templates. Each template contains the objects of the kustomize base
// `base`. If `kind` is not empty, it contains only the objects of this kind. Helm renders the
// objects if the condition is true. An empty condition is always true.
var sources = []struct{ file, base, kind, condition string }{
	{"rbac.yaml", "rbac", "", ""},
	{"operator.yaml", "manager", "", ""},
	{"openshift.yaml", "openshift", "", ".Values.openshift.enabled"},
	{"gke.yaml", "gke", "", ".Values.gke.enabled"},
	{"monitor.yaml", "prometheus", "ServiceMonitor", ".Values.monitoring.serviceMonitor"},
	{"alerts.yaml", "prometheus", "PrometheusRule", ".Values.monitoring.alerts"},
}

func addTemplates(root string, files map[string][]byte) error {
	for _, source := range sources {
		objects, err := base(root, source.base)
		if err != nil {
			return err
		}
		var out strings.Builder
		fmt.Fprintf(&out, "%s by hack/chart from config/%s. Do not edit. */ -}}\n", header, source.base)
		if source.condition != "" {
			fmt.Fprintf(&out, "{{- if %s }}\n", source.condition)
		}
		for _, object := range objects {
			// A chart must not contain the namespace of its release. Helm creates this namespace if
			// the user specifies --create-namespace.
			if object.GetKind() == "Namespace" || source.kind != "" && object.GetKind() != source.kind {
				continue
			}
			text, err := template(object)
			if err != nil {
				return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
			}
			out.WriteString("---\n" + text)
		}
		if source.condition != "" {
			out.WriteString("{{- end }}\n")
		}
		files["templates/"+source.file] = []byte(out.String())
	}
	return nil
}

// A hole is a placeholder for template code, such as HOLE_replicas. Objects contain holes until
// they are encoded as YAML. Then template code replaces each hole. The text after the prefix `hole`
// is a key of `inline` or `blocks`.
const hole = "HOLE_"

// inline contains the template code that replaces a hole inside a line.
var inline = map[string]string{
	"namespace":     "{{ .Release.Namespace }}",
	"replicas":      "{{ .Values.operator.replicas }}",
	"image":         `{{ include "sluice.image" . | quote }}`,
	"pullPolicy":    "{{ .Values.image.pullPolicy }}",
	"metricsPort":   "{{ .Values.operator.ports.metrics }}",
	"observePort":   "{{ .Values.operator.ports.observe }}",
	"healthPort":    "{{ .Values.operator.ports.health }}",
	"priorityClass": "{{ .Values.operator.priorityClassName | quote }}",
}

// ports maps the port numbers in config/manager to keys of `inline`.
var ports = map[string]string{"9641": "healthPort", "9642": "metricsPort", "9643": "observePort"}

// optional returns template code for a field that is omitted if its value is empty.
func optional(value string) string {
	return "{{- with " + value + " }}\nKEY:\n  {{- toYaml . | nindent INDENT }}\n{{- end }}"
}

// blocks contains the template code that replaces the whole line of a field. In this code, KEY
// stands for the name of the field, and INDENT for the indentation of the content of the field.
var blocks = map[string]string{
	"affinity":         optional(".Values.operator.affinity"),
	"imagePullSecrets": optional(".Values.imagePullSecrets"),
	"nodeSelector":     optional(".Values.operator.nodeSelector"),
	"resources":        optional(".Values.operator.resources"),
	"spread":           optional(".Values.operator.topologySpreadConstraints"),
	"tolerations":      optional(".Values.operator.tolerations"),
	"annotations":      optional(".Values.annotations"),
}

// template converts an object to a template.
func template(object *unstructured.Unstructured) (string, error) {
	labels := object.GetLabels()
	object.SetLabels(nil)
	metadata := object.Object["metadata"].(map[string]any)
	metadata["labels"], metadata["annotations"] = hole+"labels", hole+"annotations"
	code := maps.Clone(blocks)
	monitoring := "dict"
	if strings.HasPrefix(object.GetAPIVersion(), "monitoring.coreos.com/") {
		monitoring = ".Values.monitoring.labels"
	}
	code["labels"] = merged(`include "sluice.labels" . | fromYaml`, monitoring, labels)
	if object.GetKind() == "Deployment" {
		if err := openDeployment(object, code); err != nil {
			return "", err
		}
	}
	content, err := sigsyaml.Marshal(withHoles(object.Object))
	if err != nil {
		return "", err
	}
	// Alerts contain templates of Prometheus, which Helm must not render.
	text := strings.ReplaceAll(string(content), "{{", `{{ "{{" }}`)
	if strings.Contains(text, namespace) {
		return "", fmt.Errorf("the namespace %s is a part of a longer text", namespace)
	}
	return fill(text, code)
}

// merged returns template code for a map. The code merges the maps that the template expressions
// `first` and `second` return, and the entries in `fixed`. If several of them contain the same key,
// `fixed` has precedence over `second`, and `second` over `first`.
func merged(first, second string, fixed map[string]string) string {
	entries := []string{"dict"}
	for _, key := range slices.Sorted(maps.Keys(fixed)) {
		entries = append(entries, fmt.Sprintf("%q %q", key, fixed[key]))
	}
	return fmt.Sprintf("KEY:\n  {{- mergeOverwrite (dict) (%s) (%s) (%s) | toYaml | nindent INDENT }}", first, second, strings.Join(entries, " "))
}

// openDeployment replaces fields of the operator's Deployment with holes. If the template code for
// a hole depends on the content of the Deployment, openDeployment adds this code to `code`.
func openDeployment(object *unstructured.Unstructured, code map[string]string) error {
	spec := object.Object["spec"].(map[string]any)
	spec["replicas"] = hole + "replicas"
	template := spec["template"].(map[string]any)
	metadata := template["metadata"].(map[string]any)
	for key, values := range map[string]string{"labels": "podLabels", "annotations": "podAnnotations"} {
		code[values] = merged(".Values.operator."+values, "dict", texts(metadata[key]))
		metadata[key] = hole + values
	}
	pod := template["spec"].(map[string]any)
	for key, name := range map[string]string{
		"affinity": "affinity", "imagePullSecrets": "imagePullSecrets", "nodeSelector": "nodeSelector",
		"topologySpreadConstraints": "spread", "tolerations": "tolerations", "priorityClassName": "priorityClass",
	} {
		pod[key] = hole + name
	}
	container := pod["containers"].([]any)[0].(map[string]any)
	container["image"], container["imagePullPolicy"], container["resources"] = hole+"image", hole+"pullPolicy", hole+"resources"
	for field, more := range map[string]string{
		"args": `
  - --log-level={{ .Values.operator.log.level }}
  - --log-format={{ .Values.operator.log.format }}
  {{- with .Values.operator.extraArgs }}
  {{- toYaml . | nindent INDENT }}
  {{- end }}`,
		"env": `
  {{- include "sluice.apiServer" . | nindent INDENT }}`,
	} {
		content, err := sigsyaml.Marshal(withHoles(container[field]))
		if err != nil {
			return err
		}
		code[field] = "KEY:\n  " + strings.ReplaceAll(strings.TrimSpace(string(content)), "\n", "\n  ") + more
		container[field] = hole + field
	}
	return nil
}

func texts(in any) map[string]string {
	out := map[string]string{}
	for key, value := range in.(map[string]any) {
		out[key] = value.(string)
	}
	return out
}

// withHoles returns a copy of a value in which holes replace the namespace and the ports.
func withHoles(in any) any {
	switch value := in.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, field := range value {
			out[key] = withHoles(field)
		}
		return out
	case []any:
		out := []any{}
		for _, item := range value {
			out = append(out, withHoles(item))
		}
		return out
	case string:
		if value == namespace {
			return hole + "namespace"
		}
		for number, name := range ports {
			value = strings.ReplaceAll(value, ":"+number, ":"+hole+name)
		}
		return value
	case int64, float64:
		if name, ok := ports[fmt.Sprint(value)]; ok {
			return hole + name
		}
	}
	return in
}

var (
	blockHole  = regexp.MustCompile(`(?m)^([ -]*)(\w+): ` + hole + `(\w+)$`)
	inlineHole = regexp.MustCompile(hole + `(\w+)`)
)

// fill replaces all holes in a text with template code.
func fill(text string, code map[string]string) (string, error) {
	text = blockHole.ReplaceAllStringFunc(text, func(line string) string {
		parts := blockHole.FindStringSubmatch(line)
		block, ok := code[parts[3]]
		if !ok {
			return line
		}
		indent := strings.Repeat(" ", len(parts[1]))
		block = strings.NewReplacer("KEY", parts[2], "INDENT", fmt.Sprint(len(indent)+2), "\n", "\n"+indent).Replace(block)
		return parts[1] + block
	})
	var unknown error
	text = inlineHole.ReplaceAllStringFunc(text, func(name string) string {
		code, ok := inline[strings.TrimPrefix(name, hole)]
		if !ok {
			unknown = fmt.Errorf("no template code for %s", name)
		}
		return code
	})
	return text, unknown
}
