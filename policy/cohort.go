package policy

import "encoding/binary"

// cohort is the live pods of one namespace that have equal labels and ports,
// so that no selector and no port name tells them apart.
type cohort struct {
	ns *namespace
	// number orders cohorts by age.
	number uint64
	key    cohortKey
	ports  []ContainerPort
	pods   []*pod
	// place is the cohort's index in its namespace, -1 once it is gone.
	place int
}

// cohortKey is what the pods of one cohort have in common.
type cohortKey struct {
	labels Labels
	// ports are the named ports, one behind the other.
	ports string
}

// join puts a live pod into its cohort.
func (s *Snapshot) join(p *pod) {
	var buf [256]byte
	ports := appendPortFields(buf[:0], p.Ports)
	c := p.ns.cohorts[cohortKey{p.Labels, string(ports)}]
	if c == nil {
		s.cohorts++
		c = &cohort{ns: p.ns, number: s.cohorts, key: cohortKey{p.Labels, string(ports)}, ports: p.Ports, place: len(p.ns.ordered)}
		p.ns.cohorts[c.key] = c
		p.ns.ordered = append(p.ns.ordered, c)
		s.cohortTouched(c)
	}
	p.Ports = c.ports
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

// appendPortFields appends named ports so that no two lists give the same bytes.
func appendPortFields(to []byte, ports []ContainerPort) []byte {
	for _, port := range ports {
		to = append(appendField(to, port.Name), port.Protocol)
		to = binary.NativeEndian.AppendUint16(to, port.Number)
	}
	return to
}
