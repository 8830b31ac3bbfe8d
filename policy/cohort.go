package policy

import (
	"encoding/binary"
	"slices"

	"k8s.io/apimachinery/pkg/labels"
)

// cohort is the live pods of one namespace that have equal labels and ports,
// so that no selector and no port name tells them apart.
type cohort struct {
	ns *namespace
	// number orders cohorts by age.
	number uint64
	key    string
	labels labels.Set
	ports  []ContainerPort
	pods   []*pod
	// place is the cohort's index in its namespace, -1 once it is gone.
	place int
}

// join puts a live pod into its cohort. Pods of one cohort share the memory of
// labels and ports.
func (s *Snapshot) join(p *pod) {
	var buf [512]byte
	key := cohortKey(buf[:0], &p.Pod)
	c := p.ns.cohorts[string(key)]
	if c == nil {
		s.cohorts++
		c = &cohort{ns: p.ns, number: s.cohorts, key: string(key), labels: p.Labels, ports: p.Ports, place: len(p.ns.ordered)}
		p.ns.cohorts[c.key] = c
		p.ns.ordered = append(p.ns.ordered, c)
		s.cohortTouched(c)
	}
	p.Labels, p.Ports = c.labels, c.ports
	p.cohort, p.place = c, len(c.pods)
	c.pods = append(c.pods, p)
}

// leave takes a pod out of its cohort, which goes with its last pod.
func (s *Snapshot) leave(p *pod) {
	c := p.cohort
	last := c.pods[len(c.pods)-1]
	c.pods[p.place], last.place = last, p.place
	c.pods[len(c.pods)-1] = nil
	c.pods = c.pods[:len(c.pods)-1]
	p.cohort = nil
	if len(c.pods) > 0 {
		return
	}
	delete(p.ns.cohorts, c.key)
	other := p.ns.ordered[len(p.ns.ordered)-1]
	p.ns.ordered[c.place], other.place = other, c.place
	p.ns.ordered[len(p.ns.ordered)-1] = nil
	p.ns.ordered = p.ns.ordered[:len(p.ns.ordered)-1]
	c.place = -1
	s.cohortTouched(c)
}

func (s *Snapshot) cohortTouched(c *cohort) {
	for _, f := range s.followers {
		f.touchedCohorts = append(f.touchedCohorts, c)
	}
}

// cohortKey appends what pods of one cohort have in common. Every string comes
// with its length, so that no two states share a key.
func cohortKey(buf []byte, p *Pod) []byte {
	str := func(s string) {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
	}
	var few [16]string
	keys := few[:0]
	for k := range p.Labels {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	buf = binary.AppendUvarint(buf, uint64(len(keys)))
	for _, k := range keys {
		str(k)
		str(p.Labels[k])
	}
	for _, port := range p.Ports {
		str(port.Name)
		buf = append(buf, port.Protocol)
		buf = binary.NativeEndian.AppendUint16(buf, port.Number)
	}
	return buf
}
