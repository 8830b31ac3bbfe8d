package manifest

import (
	"fmt"

	"github.com/sluicenet/sluice/inventory"
)

// join puts the pieces together and finds objects that come twice.
func join(units []unit, results []decoded, faults inventory.Errors, sources []source) (*inventory.Set, inventory.Errors) {
	j := joiner{set: &inventory.Set{}, faults: faults, origins: map[string]inventory.Origin{}, skipped: map[string]int{}}
	for i := 0; i < len(units); {
		whole := units[i].whole
		if whole == nil {
			j.add(results[i])
			i++
			continue
		}
		end, syntax := i, false
		for end < len(units) && units[end].whole == whole {
			syntax = syntax || results[end].syntax
			end++
		}
		if syntax {
			j.add(decodeUnit(unit{file: units[i].file, chunk: *whole}))
		} else {
			for _, r := range results[i:end] {
				j.add(r)
			}
		}
		i = end
	}
	for _, kind := range sortedKeys(j.skipped) {
		j.set.Skipped = append(j.set.Skipped, inventory.Skipped{Kind: kind, Count: j.skipped[kind]})
	}
	if len(j.faults) == 0 && len(j.origins) == 0 && len(sources) > 0 {
		j.faults = inventory.Errors{{Origin: inventory.Origin{File: sources[0].name}, Message: "holds no Pod, Namespace, Node or NetworkPolicy" + j.others()}}
	}
	return j.set, j.faults
}

type joiner struct {
	set     *inventory.Set
	faults  inventory.Errors
	origins map[string]inventory.Origin
	skipped map[string]int
}

func (j *joiner) add(d decoded) {
	j.faults = append(j.faults, d.faults...)
	for kind, n := range d.skipped {
		j.skipped[kind] += n
	}
	for _, p := range d.pods {
		if j.first(inventory.ObjectName("Pod", p.Pod.Namespace, p.Name), p.Origin) {
			j.set.Pods = append(j.set.Pods, p)
		}
	}
	for _, n := range d.namespaces {
		if j.first(inventory.ObjectName("Namespace", "", n.Name), n.Origin) {
			j.set.Namespaces = append(j.set.Namespaces, n)
		}
	}
	for _, n := range d.nodes {
		if j.first(inventory.ObjectName("Node", "", n.Name), n.Origin) {
			j.set.Nodes = append(j.set.Nodes, n)
		}
	}
	for _, p := range d.policies {
		if j.first(inventory.ObjectName("NetworkPolicy", p.NetworkPolicy.Namespace, p.Name), p.Origin) {
			j.set.Policies = append(j.set.Policies, p)
		}
	}
}

// first reports a second object of one name, with both places.
func (j *joiner) first(object string, origin inventory.Origin) bool {
	if earlier, twice := j.origins[object]; twice {
		j.faults = append(j.faults, &inventory.Error{
			Origin: origin, Object: object,
			Message: fmt.Sprintf("is here for the second time, first at %s; take one away or rename it", earlier),
		})
		return false
	}
	j.origins[object] = origin
	return true
}

func (j *joiner) others() string {
	if len(j.set.Skipped) == 0 {
		return ""
	}
	return fmt.Sprintf(", only kinds that decide nothing here (%s and the like)", j.set.Skipped[0].Kind)
}
