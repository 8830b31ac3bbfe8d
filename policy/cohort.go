package policy

import "encoding/binary"

// Cohort is the live pods of one namespace that have equal labels and equal
// named ports. No selector and no port name distinguishes them, so it is enough
// to match selectors against cohorts.
type Cohort struct {
	ns *TrackedNamespace
	// number orders cohorts by age.
	number uint64
	key    cohortKey
	ports  ContainerPorts
	pods   []*TrackedPod
	// index is the index of the cohort in its namespace, -1 once it is gone.
	index int
}

// cohortKey is what the pods of one cohort have in common.
type cohortKey struct {
	labels Labels
	// ports are the encoded named ports.
	ports string
}

// Namespace returns the namespace of the pods.
func (c *Cohort) Namespace() *TrackedNamespace { return c.ns }

// Labels returns the labels of the pods.
func (c *Cohort) Labels() Labels { return c.key.labels }

// Ports returns the named ports of the pods.
func (c *Cohort) Ports() ContainerPorts { return c.ports }

// Pods returns the pods.
func (c *Cohort) Pods() []*TrackedPod { return c.pods }

// Gone reports whether the cohort has lost its last pod.
func (c *Cohort) Gone() bool { return c.index < 0 }

// join adds a live pod to its cohort.
func (s *Snapshot) join(p *TrackedPod) {
	var buf [256]byte
	ports := appendPortFields(buf[:0], p.Ports)
	c := p.ns.cohorts[cohortKey{p.Labels, string(ports)}]
	if c == nil {
		s.cohorts++
		c = &Cohort{ns: p.ns, number: s.cohorts, key: cohortKey{p.Labels, string(ports)}, ports: p.Ports, index: len(p.ns.ordered)}
		p.ns.cohorts[c.key] = c
		p.ns.ordered = append(p.ns.ordered, c)
		s.cohortsChanged(c)
	}
	p.Ports = c.ports
	p.cohort, p.index = c, len(c.pods)
	c.pods = append(c.pods, p)
}

// leave removes a pod from its cohort, and the cohort if it is empty then.
func (s *Snapshot) leave(p *TrackedPod) {
	c := p.cohort
	last := c.pods[len(c.pods)-1]
	c.pods[p.index], last.index = last, p.index
	c.pods[len(c.pods)-1] = nil
	c.pods = c.pods[:len(c.pods)-1]
	p.cohort = nil
	if len(c.pods) > 0 {
		return
	}
	delete(p.ns.cohorts, c.key)
	other := p.ns.ordered[len(p.ns.ordered)-1]
	p.ns.ordered[c.index], other.index = other, c.index
	p.ns.ordered[len(p.ns.ordered)-1] = nil
	p.ns.ordered = p.ns.ordered[:len(p.ns.ordered)-1]
	c.index = -1
	s.cohortsChanged(c)
}

// appendPortFields appends named ports so that different lists have different
// bytes.
func appendPortFields(to []byte, ports ContainerPorts) []byte {
	for _, port := range ports {
		to = append(appendField(to, port.Name), byte(port.Protocol))
		to = binary.NativeEndian.AppendUint16(to, port.Number)
	}
	return to
}
