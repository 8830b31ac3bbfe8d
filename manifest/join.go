package manifest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/service"
)

// decoded contains the objects and errors from one unit.
type decoded struct {
	pods       []versioned[inventory.Pod]
	namespaces []versioned[inventory.Namespace]
	nodes      []versioned[inventory.Node]
	policies   []versioned[inventory.Policy]
	services   []backends
	workloads  []versioned[inventory.Workload]
	// skipped contains the number of skipped objects of each kind.
	skipped map[string]int
	// notEvaluated contains the number of policies of each kind that Sluice does not evaluate.
	notEvaluated map[string]int
	// notObject is true if the unit contains no Kubernetes object and does not have to contain
	// one. For example, the unit is in a file named Chart.yaml.
	notObject bool
	errs      inventory.Errors
	// syntax is true if the unit is not valid YAML.
	syntax bool
}

// versioned is an object, together with the string that the function `version` returns for it.
type versioned[T any] struct {
	object  T
	version string
}

// skip counts one more object of a kind that this package does not read.
func (d *decoded) skip(apiVersion, kind string) {
	if d.skipped == nil {
		d.skipped, d.notEvaluated = map[string]int{}, map[string]int{}
	}
	if name, ok := inventory.NotEvaluatedName(apiVersion, kind); ok {
		d.notEvaluated[name]++
	} else {
		d.skipped[skippedName(apiVersion, kind)]++
	}
}

// join adds the objects of all units to a set, in the order of the input. If several objects
// have the same kind and name, join adds only the first object. If another of these objects
// differs from the first object, join reports an error.
func join(units []unit, results []decoded, errs inventory.Errors, sources []source) (*inventory.Set, inventory.Errors) {
	j := joiner{set: &inventory.Set{}, errs: errs, seen: map[string]earlier{}, skipped: map[string]int{}, notEvaluated: map[string]int{}}
	for i := 0; i < len(units); {
		end := i + 1
		for end < len(units) && units[i].whole != nil && units[end].whole == units[i].whole {
			end++
		}
		if slices.ContainsFunc(results[i:end], func(d decoded) bool { return d.syntax }) && units[i].whole != nil {
			whole := units[i]
			whole.chunk, whole.listKind = *units[i].whole, ""
			j.add(&whole, decodeUnit(whole))
		} else {
			for k := i; k < end; k++ {
				j.add(&units[k], results[k])
			}
		}
		i = end
	}
	j.set.Skipped, j.set.NotEvaluated = sorted(j.skipped), sorted(j.notEvaluated)
	if len(j.errs) == 0 && len(j.seen) == 0 && len(sources) > 0 {
		j.errs = inventory.Errors{{Origin: inventory.Origin{File: sources[0].name}, Message: "contains no Pod, workload, Service, Namespace, Node, NetworkPolicy or ClusterNetworkPolicy" + j.others()}}
	}
	return j.set, j.errs
}

type joiner struct {
	set  *inventory.Set
	errs inventory.Errors
	// seen contains the first object of each kind and name. The key is the text that
	// inventory.ObjectName returns.
	seen                  map[string]earlier
	skipped, notEvaluated map[string]int
}

// sorted lists the number of objects of each kind, sorted by kind.
func sorted(counts map[string]int) (out []inventory.Skipped) {
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, inventory.Skipped{Kind: kind, Count: counts[kind]})
	}
	return out
}

// earlier describes the first object in the input with a certain kind and name. Later objects with
// the same kind and name are compared with this object.
type earlier struct {
	origin  inventory.Origin
	version string
	// content contains the fields of the object that affect verdicts or output.
	content any
}

// backends is a Service, or the slices of an EndpointSlice or Endpoints object.
type backends struct {
	// object is the text that inventory.ObjectName returns.
	object, version string
	origin          inventory.Origin
	service         *service.Service
	slices          []*service.Slice
}

func (j *joiner) add(u *unit, d decoded) {
	j.errs = append(j.errs, d.errs...)
	for kind, n := range d.skipped {
		j.skipped[kind] += n
	}
	for kind, n := range d.notEvaluated {
		j.notEvaluated[kind] += n
	}
	if d.notObject {
		j.set.SkippedFiles = append(j.set.SkippedFiles, u.file)
	}
	for _, p := range d.pods {
		o := p.object
		if j.first(inventory.ObjectName("Pod", o.Pod.Namespace, o.Name), o.Origin, p.version, podContent{o.Pod, o.Workload, o.NoStatus}) {
			j.set.Pods = append(j.set.Pods, o)
		}
	}
	for _, n := range d.namespaces {
		if j.first(inventory.ObjectName("Namespace", "", n.object.Name), n.object.Origin, n.version, n.object.Namespace) {
			j.set.Namespaces = append(j.set.Namespaces, n.object)
		}
	}
	for _, n := range d.nodes {
		if j.first(inventory.ObjectName("Node", "", n.object.Name), n.object.Origin, n.version, n.object.Node) {
			j.set.Nodes = append(j.set.Nodes, n.object)
		}
	}
	for _, p := range d.policies {
		o := p.object
		if j.first(inventory.ObjectName(o.Kind(), o.Scope, o.Name), o.Origin, p.version, o.Policy) {
			j.set.Policies = append(j.set.Policies, o)
		}
	}
	j.addBackends(d)
}

// addBackends adds the objects that do not affect verdicts. If two of these objects have the same
// name and different content, only the first one is added. This is no error, because directories
// often contain several variants of a workload.
func (j *joiner) addBackends(d decoded) {
	for _, s := range d.services {
		if !j.firstOrDuplicate(s.object, s.origin, s.version, []any{s.service, s.slices}) {
			continue
		}
		if s.service != nil {
			j.set.Services = append(j.set.Services, s.service)
		}
		j.set.Slices = append(j.set.Slices, s.slices...)
	}
	for _, w := range d.workloads {
		if j.firstOrDuplicate(w.object.String(), w.object.Origin, w.version, w.object.Pod) {
			j.set.Workloads = append(j.set.Workloads, w.object)
		}
	}
}

// The method `first` reports whether an object is the first object with its kind and name. If an
// earlier object is identical, the method records a Duplicate. If an earlier object differs, the
// method records an error.
func (j *joiner) first(object string, origin inventory.Origin, version string, content any) bool {
	before := j.seen[object].origin
	first, differs := j.record(object, origin, version, content)
	if differs {
		j.errs = append(j.errs, &inventory.Error{
			Origin: origin, Object: object,
			Message: fmt.Sprintf("is in the input twice with different content, first at %s; remove one or rename it", before),
		})
	}
	return first
}

// firstOrDuplicate reports whether an object is the first object with its kind and name. If it is
// not, firstOrDuplicate records a Duplicate.
func (j *joiner) firstOrDuplicate(object string, origin inventory.Origin, version string, content any) bool {
	before := j.seen[object].origin
	first, differs := j.record(object, origin, version, content)
	if differs {
		j.set.Duplicates = append(j.set.Duplicates, inventory.Duplicate{Object: object, Origin: origin, First: before, Differs: true})
	}
	return first
}

// record records an object. It reports whether the object is the first object with its kind and
// name. If it is not, differs reports whether its content differs from the content of the first
// object. If the contents are equal, record adds a Duplicate.
func (j *joiner) record(object string, origin inventory.Origin, version string, content any) (first, differs bool) {
	before, twice := j.seen[object]
	switch {
	case !twice:
		j.seen[object] = earlier{origin, version, content}
		return true, false
	case version != "" && version == before.version, reflect.DeepEqual(content, before.content):
		j.set.Duplicates = append(j.set.Duplicates, inventory.Duplicate{Object: object, Origin: origin, First: before.origin})
		return false, false
	default:
		return false, true
	}
}

func (j *joiner) others() string {
	if len(j.set.Skipped) == 0 {
		return ""
	}
	return fmt.Sprintf(", only kinds that do not affect policies (such as %s)", j.set.Skipped[0].Kind)
}

// podContent contains the parts of a pod that affect verdicts or output.
type podContent struct {
	pod      policy.Pod
	workload string
	noStatus bool
}
