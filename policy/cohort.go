package policy

import (
	"encoding/binary"

	"github.com/sluicenet/sluice/policy/label"
)

// Cohort is a group of live pods in one namespace with equal labels and equal named ports. A pod
// whose Pod object is gone is never in the same cohort as a pod whose object still exists. A
// selector or a port name matches either all pods of a cohort or none of them. So selectors are
// matched against cohorts instead of pods.
type Cohort struct {
	snapshot *Snapshot
	ns       *TrackedNamespace
	// number is higher than the number of every older cohort.
	number uint64
	key    cohortKey
	ports  ContainerPorts
	pods   []*TrackedPod
	// index is the position of the cohort in TrackedNamespace.ordered. If the cohort has lost
	// its last pod, index is -1.
	index int
}

// cohortKey contains the properties that all pods of one cohort share.
type cohortKey struct {
	labels label.Set
	// ports contains the named ports, as encoded by appendPortFields.
	ports string
	// gone is true if the Pod objects of the pods no longer exist.
	gone bool
}

// Namespace returns the namespace that contains the pods of the cohort.
func (c *Cohort) Namespace() *TrackedNamespace { return c.ns }

// Labels returns the labels that all pods of the cohort share.
func (c *Cohort) Labels() label.Set { return c.key.labels }

// Ports returns the named ports that all pods of the cohort share.
func (c *Cohort) Ports() ContainerPorts { return c.ports }

// Pods returns the pods of the cohort.
func (c *Cohort) Pods() []*TrackedPod { return c.pods }

// Gone reports whether the cohort has lost its last pod.
func (c *Cohort) Gone() bool { return c.index < 0 }

// join adds a live pod to the cohort with the pod's labels and ports. If no such cohort
// exists, join creates the cohort.
func (s *Snapshot) join(p *TrackedPod) {
	var buf [256]byte
	ports := appendPortFields(buf[:0], p.Ports)
	box := s.sandboxes.pods[p]
	gone := box != nil && box.gone
	c := p.ns.cohorts[cohortKey{p.Labels, string(ports), gone}]
	if c == nil {
		s.cohorts++
		c = &Cohort{snapshot: s, ns: p.ns, number: s.cohorts, key: cohortKey{p.Labels, string(ports), gone}, ports: p.Ports, index: len(p.ns.ordered)}
		p.ns.cohorts[c.key] = c
		p.ns.ordered = append(p.ns.ordered, c)
		s.cohortsChanged(c)
	}
	p.Ports = c.ports
	p.cohort, p.index = c, len(c.pods)
	c.pods = append(c.pods, p)
}

// leave removes a pod from its cohort. If this pod was the last pod of the cohort, leave also
// removes the cohort.
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

// appendPortFields encodes named ports and appends the encoding. Different lists of ports
// have different encodings.
func appendPortFields(to []byte, ports ContainerPorts) []byte {
	for _, port := range ports {
		to = binary.AppendUvarint(to, uint64(len(port.Name)))
		to = append(append(to, port.Name...), byte(port.Protocol))
		to = binary.NativeEndian.AppendUint16(to, port.Number)
	}
	return to
}
