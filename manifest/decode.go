package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	kjson "sigs.k8s.io/json"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
)

// maxListDepth bounds lists inside lists.
const maxListDepth = 8

// decoded is what one chunk holds.
type decoded struct {
	pods       []inventory.Pod
	namespaces []inventory.Namespace
	nodes      []inventory.Node
	policies   []inventory.Policy
	skipped    map[string]int
	faults     inventory.Errors
	// syntax reports that the chunk could not be parsed at all.
	syntax bool
}

// decoder decodes one chunk.
type decoder struct {
	file string
	// text is the source of the chunk, line its first line: faults find the
	// lines of their fields there.
	text []byte
	line int
	// nodes is text once more, parsed when a line is first asked for.
	nodes  *yaml.Node
	parsed bool
	out    decoded
}

func (d *decoder) fault(line int, object, field, message string) {
	d.out.faults = append(d.out.faults, &inventory.Error{Origin: inventory.Origin{File: d.file, Line: line}, Object: object, Field: field, Message: message})
}

// lineOf gives the line in the file of the field at p below root.
func (d *decoder) lineOf(root, p path) int {
	if !d.parsed {
		d.nodes, d.parsed = parseNodes(d.text), true
	}
	if d.nodes == nil {
		return d.line
	}
	return d.line + lineOf(d.nodes, append(root[:len(root):len(root)], p...)) - 1
}

// yaml decodes a chunk of YAML. listKind is the kind of the list whose item
// the chunk is, a sequence of one; "" for a whole document.
func (d *decoder) yaml(listKind string) {
	raw, err := yamlToJSON(d.text, itemKind(listKind))
	if err != nil {
		d.out.syntax = true
		d.yamlFaults(err)
		return
	}
	var root path
	if listKind != "" {
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil || len(items) != 1 {
			d.out.syntax = true
			return
		}
		raw, root = items[0], root.at(0)
	}
	d.object(raw, root, itemKind(listKind), 0)
}

// yamlFaults translates what the YAML parser says, which counts lines from the
// chunk's first.
func (d *decoder) yamlFaults(err error) {
	for _, message := range strings.Split(err.Error(), "\n") {
		message = strings.TrimSpace(strings.TrimPrefix(message, "yaml: "))
		if message == "unmarshal errors:" {
			continue
		}
		line := d.line
		var n int
		if _, err := fmt.Sscanf(message, "line %d:", &n); err == nil {
			line = d.line + n - 1
			_, message, _ = strings.Cut(message, ": ")
		}
		if strings.Contains(message, "cannot start any token") {
			message += "; YAML is indented with spaces, not with tabs"
		}
		d.fault(line, "", "", "no valid YAML: "+message)
	}
}

// json decodes one JSON value.
func (d *decoder) json(raw []byte, listKind string) {
	d.object(raw, nil, itemKind(listKind), 0)
}

// object decodes one object. root leads to it in the chunk; defaultKind is its
// kind if it does not say one, as in lists that the API server writes.
func (d *decoder) object(raw []byte, root path, defaultKind string, depth int) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return
	}
	line := d.line
	if len(root) > 0 && depth > 0 {
		line = d.lineOf(root, nil)
	}
	if raw[0] != '{' {
		d.fault(line, "", "", "is no Kubernetes object; want apiVersion, kind and metadata (several objects: separate them by --- or put them under items: of kind: List)")
		return
	}
	var h header
	headerError := kjson.UnmarshalCaseSensitivePreserveInts(raw, &h)
	kind, apiVersion := h.Kind, h.APIVersion
	if kind == "" && defaultKind != "" {
		kind, apiVersion = defaultKind, apiVersions[defaultKind]
	}
	if isList(kind) {
		d.list(raw, root, kind, depth)
		return
	}
	name := inventory.ObjectName(kind, h.Metadata.Namespace, h.Metadata.Name)
	known, message := classify(apiVersion, kind)
	switch {
	case headerError != nil && (known || kind == ""):
		d.explain(raw, root, name, reflect.TypeFor[header](), headerError)
	case message != "":
		d.fault(line, name, "", message)
	case !known:
		if d.out.skipped == nil {
			d.out.skipped = map[string]int{}
		}
		d.out.skipped[skippedName(apiVersion, kind)]++
	default:
		d.known(raw, root, kind, name, inventory.Origin{File: d.file, Line: line})
	}
}

// list decodes the items of a list.
func (d *decoder) list(raw []byte, root path, kind string, depth int) {
	var list struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &list); err != nil {
		d.explain(raw, root, kind, reflect.TypeOf(list), err)
		return
	}
	if depth == maxListDepth {
		d.fault(d.line, kind, "items", "lists inside lists too deep; write the objects as one list")
		return
	}
	for i, item := range list.Items {
		d.object(item, root.key("items").at(i), itemKind(kind), depth+1)
	}
}

// known decodes an object of a kind that counts.
func (d *decoder) known(raw []byte, root path, kind, name string, origin inventory.Origin) {
	switch kind {
	case "Pod":
		var o podObject
		if d.decode(raw, root, name, &o, false) && d.named(root, name, kind, o.Metadata.Name, o.Metadata.Namespace) {
			pod := o.pod()
			defaultPod(pod)
			reduced, err := policy.PodOf(pod)
			if d.reduced(root, name, err) {
				d.out.pods = append(d.out.pods, inventory.Pod{Pod: reduced, Origin: origin, Workload: inventory.WorkloadOf(pod), NoStatus: o.noStatus()})
			}
		}
	case "Namespace":
		var o namespaceObject
		if d.decode(raw, root, name, &o, false) && d.named(root, name, kind, o.Metadata.Name, "") {
			namespace := &corev1.Namespace{ObjectMeta: o.Metadata.objectMeta()}
			defaultNamespace(namespace)
			d.out.namespaces = append(d.out.namespaces, inventory.Namespace{Namespace: policy.NamespaceOf(namespace), Origin: origin})
		}
	case "Node":
		var o nodeObject
		if d.decode(raw, root, name, &o, false) && d.named(root, name, kind, o.Metadata.Name, "") {
			reduced, err := policy.NodeOf(&corev1.Node{ObjectMeta: o.Metadata.objectMeta(), Status: corev1.NodeStatus{Addresses: o.Status.Addresses}})
			if d.reduced(root, name, err) {
				d.out.nodes = append(d.out.nodes, inventory.Node{Node: reduced, Origin: origin})
			}
		}
	case "NetworkPolicy":
		o := &networkingv1.NetworkPolicy{}
		if d.decode(raw, root, name, o, true) && d.named(root, name, kind, o.Name, o.Namespace) {
			defaultPolicy(o)
			d.out.policies = append(d.out.policies, inventory.Policy{NetworkPolicy: o, Origin: origin})
		}
	}
}

// decode fills into and reports whether raw fits its type. Strict also refuses
// fields that the type does not have, and fields given twice.
func (d *decoder) decode(raw []byte, root path, name string, into any, strict bool) bool {
	if !strict {
		if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, into); err != nil {
			d.explain(raw, root, name, reflect.TypeOf(into).Elem(), err)
			return false
		}
		return true
	}
	strictErrors, err := kjson.UnmarshalStrict(raw, into)
	if err == nil && len(strictErrors) == 0 {
		return true
	}
	d.explain(raw, root, name, reflect.TypeOf(into).Elem(), err)
	for _, e := range strictErrors {
		var field path
		var fieldError kjson.FieldError
		if errors.As(e, &fieldError) {
			field = parsePath(fieldError.FieldPath())
		}
		if strings.HasPrefix(e.Error(), "duplicate") {
			d.fault(d.lineOf(root, field), name, field.String(), "the field is given twice; keep one")
		}
	}
	return false
}

// explain reports every field that does not fit t; err is the decoder's own
// word, used where nothing else is found.
func (d *decoder) explain(raw []byte, root path, name string, t reflect.Type, err error) {
	before := len(d.out.faults)
	c := checker{strict: t == reflect.TypeFor[networkingv1.NetworkPolicy](), report: func(at path, message string) {
		d.fault(d.lineOf(root, at), name, at.String(), message)
	}}
	c.check(raw, t)
	if len(d.out.faults) == before && err != nil {
		d.fault(d.lineOf(root, nil), name, "", err.Error())
	}
}

// reduced reports a field that package policy refuses. Its errors begin with
// the field.
func (d *decoder) reduced(root path, name string, err error) bool {
	if err == nil {
		return true
	}
	field, message, found := strings.Cut(err.Error(), ": ")
	if !found {
		field, message = "", err.Error()
	}
	d.fault(d.lineOf(root, parsePath(field)), name, field, message)
	return false
}

// named checks the names that make an object's identity.
func (d *decoder) named(root path, object, kind, name, namespace string) bool {
	ok := true
	field := path{}.key("metadata")
	switch reasons := validation.IsDNS1123Subdomain(name); {
	case name == "":
		d.fault(d.lineOf(root, field), object, "metadata.name", "missing; give the "+kind+" a name")
		ok = false
	case len(reasons) > 0:
		d.fault(d.lineOf(root, field.key("name")), object, "metadata.name", fmt.Sprintf("%q is no name: %s", name, reasons[0]))
		ok = false
	}
	if namespace != "" {
		if reasons := validation.IsDNS1123Label(namespace); len(reasons) > 0 {
			d.fault(d.lineOf(root, field.key("namespace")), object, "metadata.namespace", fmt.Sprintf("%q is no namespace: %s", namespace, reasons[0]))
			ok = false
		}
	}
	return ok
}
