package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kjson "sigs.k8s.io/json"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/manifest/internal/yamltext"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/read"
)

// maxListDepth is the maximum depth of nested lists.
const maxListDepth = 8

// decoder decodes the objects of one unit.
type decoder struct {
	file string
	// The `text` field is the text of the unit. The `line` field is the line of the file on which
	// the text begins.
	text []byte
	line int
	// nodes is the parsed text, with line numbers. The text is not parsed until a line number is
	// needed.
	nodes  *yaml.Node
	parsed bool
	// optional is true if the unit does not have to contain a Kubernetes object.
	optional bool
	out      decoded
}

func (d *decoder) fail(line int, object, field, message string) {
	d.out.errs = append(d.out.errs, &inventory.Error{
		Origin: inventory.Origin{File: d.file, Line: line}, Object: object, Field: field, Message: message,
	})
}

// lineOf returns the line of a field in the file. The `root` parameter is the path of the object
// in the text. The `p` parameter is the path of the field in the object.
func (d *decoder) lineOf(root, p path) int {
	if !d.parsed {
		d.nodes, d.parsed = yamltext.Nodes(d.text), true
	}
	if d.nodes == nil {
		return d.line
	}
	return d.line + lineOf(d.nodes, append(root[:len(root):len(root)], p...)) - 1
}

// yaml decodes a YAML text. If listKind is empty, the text is a document. Otherwise the text is a
// sequence that contains a single item, which comes from a list of the kind listKind. If an
// earlier attempt to parse the text as JSON failed, jsonError is the syntax error of this attempt.
// Otherwise jsonError is nil.
func (d *decoder) yaml(listKind string, jsonError *inventory.Error) {
	raw, err := yamlToJSON(d.text, itemKind(listKind))
	if err != nil {
		d.out.syntax = true
		d.yamlErrors(err, jsonError)
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

// yamlErrors reports why the text is not valid YAML. If the line of jsonError is not before
// the line of the first YAML error, the text was probably meant to be JSON. In this case,
// yamlErrors reports only jsonError.
func (d *decoder) yamlErrors(err error, jsonError *inventory.Error) {
	var errs yamltext.Errors
	if !errors.As(err, &errs) {
		errs = yamltext.Errors{{Line: 1, Message: err.Error()}}
	}
	if jsonError != nil && jsonError.Origin.Line >= d.line+errs[0].Line-1 {
		d.out.errs = append(d.out.errs, jsonError)
		return
	}
	for _, e := range errs {
		d.fail(d.line+e.Line-1, "", "", "invalid YAML: "+e.Message)
	}
}

// object decodes one object. The `root` parameter is the path of the object in the text. The
// `depth` parameter is the number of lists in the text that contain the object. The API server
// omits the kind of the items in lists such as PodList, so an object without a kind has the kind
// defaultKind.
func (d *decoder) object(raw []byte, root path, defaultKind string, depth int) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return
	}
	line := d.line
	if len(root) > 0 && depth > 0 {
		line = d.lineOf(root, nil)
	}
	var h header
	headerErrs, headerErr := kjson.UnmarshalStrict(raw, &h, kjson.DisallowDuplicateFields)
	kind, apiVersion := h.Kind, h.APIVersion
	if kind == "" && defaultKind != "" {
		kind, apiVersion = defaultKind, apiVersions[defaultKind][0]
	}
	name := inventory.ObjectName(kind, h.Metadata.Namespace, h.Metadata.Name)
	read, message := classify(apiVersion, kind)
	switch {
	case kind == "" && d.optional && depth == 0:
		d.out.notObject = true
	case raw[0] != '{':
		d.fail(line, "", "", "is not a Kubernetes object; want apiVersion, kind and metadata (separate several objects with a line ---, or put them under items: of kind: List)")
	case len(headerErrs) > 0:
		d.duplicates(root, name, headerErrs)
	case isList(kind):
		d.list(raw, root, kind, depth)
	case headerErr != nil && (read || kind == ""):
		d.explain(raw, root, name, reflect.TypeFor[header](), false, headerErr)
	case message != "":
		d.fail(line, name, "", message)
	case !read:
		d.out.skip(apiVersion, kind)
	default:
		d.known(raw, root, kind, name, inventory.Origin{File: d.file, Line: line})
	}
}

// list decodes the items of a list. The `kind` parameter is the kind of the list.
func (d *decoder) list(raw []byte, root path, kind string, depth int) {
	missing := []json.RawMessage{nil}
	list := listObject{Items: missing}
	if !d.decode(raw, root, kind, &list, true) {
		return
	}
	switch {
	case len(list.Items) == 1 && list.Items[0] == nil:
		d.fail(d.lineOf(root, nil), kind, "items", "missing; an empty list has items: []")
		return
	case depth == maxListDepth:
		d.fail(d.line, kind, "items", "too many lists inside lists; write the objects as one list")
		return
	}
	for i, item := range list.Items {
		d.object(item, root.key("items").at(i), itemKind(kind), depth+1)
	}
}

// The method `known` decodes an object whose kind this package reads.
func (d *decoder) known(raw []byte, root path, kind, name string, origin inventory.Origin) {
	switch kind {
	case "Pod":
		d.pod(raw, root, name, origin)
	case "Namespace":
		var o namespaceObject
		if d.decode(raw, root, name, &o, false) && d.named(root, name, kind, o.Metadata.Name, "") {
			namespace := policy.ReadNamespace(o.namespace())
			d.out.namespaces = append(d.out.namespaces, versioned[inventory.Namespace]{
				inventory.Namespace{Namespace: namespace, Origin: origin}, o.Metadata.version(),
			})
		}
	case "Node":
		d.node(raw, root, name, origin)
	case "NetworkPolicy":
		var o policyObject
		if d.decode(raw, root, name, &o, true) && d.named(root, name, kind, o.Name, o.Namespace) {
			// The returned error can be ignored because the policy itself contains the errors
			// of its invalid parts.
			p, _ := read.NetworkPolicy(&o.NetworkPolicy)
			d.out.policies = append(d.out.policies, versioned[inventory.Policy]{
				inventory.Policy{Policy: p, Origin: origin, Blanks: read.Blanks(raw)}, version(o.UID, o.ResourceVersion),
			})
		}
	case "ClusterNetworkPolicy":
		d.clusterPolicy(raw, root, name, origin)
	case "Service", "Endpoints", "EndpointSlice":
		d.service(raw, root, kind, name, origin)
	default:
		d.workload(raw, root, kind, name, origin)
	}
}

// clusterPolicy decodes a ClusterNetworkPolicy. An unknown field, or a field with a wrong type, is
// not an error of the input, because a newer version of the API can define the field. The policy
// itself contains an error for the field and fails closed, as on a node.
func (d *decoder) clusterPolicy(raw []byte, root path, name string, origin inventory.Origin) {
	const kind = "ClusterNetworkPolicy"
	var o unstructured.Unstructured
	if !d.decode(raw, root, name, &o.Object, false) || !d.named(root, name, kind, o.GetName(), "") {
		return
	}
	p, _ := read.ClusterNetworkPolicy(&o)
	d.out.policies = append(d.out.policies, versioned[inventory.Policy]{
		inventory.Policy{Policy: p, Origin: origin}, version(o.GetUID(), o.GetResourceVersion()),
	})
}

func (d *decoder) pod(raw []byte, root path, name string, origin inventory.Origin) {
	var o podObject
	if !d.decode(raw, root, name, &o, false) || !d.named(root, name, "Pod", o.Metadata.Name, o.Metadata.Namespace) {
		return
	}
	in := o.pod()
	pod, errs := policy.ReadPod(in)
	if d.valid(root, name, errs) {
		controller, workload := inventory.WorkloadOf(in)
		d.out.pods = append(d.out.pods, versioned[inventory.Pod]{
			inventory.Pod{Pod: *pod, Origin: origin, Controller: controller, Workload: workload, NoStatus: o.noStatus()}, o.Metadata.version(),
		})
	}
}

func (d *decoder) node(raw []byte, root path, name string, origin inventory.Origin) {
	var o nodeObject
	if !d.decode(raw, root, name, &o, false) || !d.named(root, name, "Node", o.Metadata.Name, "") {
		return
	}
	node, errs := policy.ReadNode(o.node())
	if d.valid(root, name, errs) {
		d.out.nodes = append(d.out.nodes, versioned[inventory.Node]{inventory.Node{Node: node, Origin: origin}, o.Metadata.version()})
	}
}
