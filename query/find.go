package query

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/query/internal/phrase"
	"github.com/sluicenet/sluice/query/question"
	"github.com/sluicenet/sluice/query/target"
)

// findEnd returns the end of a flow for a text: an IP address, a pod (namespace/name or only
// name), or a workload. For a workload, findEnd returns one of its pods. The `field` parameter is
// the name that error messages use for the text, such as "from".
func (c *Cluster) findEnd(field, text, namespace string) (*End, error) {
	if text == "" {
		return nil, question.Errorf(field, "", wantEnd)
	}
	if address, ok, err := parseAddress(field, text); err != nil {
		return nil, err
	} else if ok {
		return c.addressEnd(address), nil
	}
	ref := c.parseRef(text, namespace)
	if ref.Kind == target.Service {
		return nil, question.Errorf(field, text, "a Service opens no connections; give one of its pods")
	}
	pod, err := c.findPod(field, text, ref)
	if err != nil {
		return nil, err
	}
	return c.podEnd(field, pod)
}

// parseRef parses a reference. The first part of a reference can be both a type of kubectl and the
// name of a namespace. parseRef interprets the part as the namespace only if pods match this
// interpretation, but no pods match the other interpretation.
func (c *Cluster) parseRef(text, namespace string) target.Ref {
	ref := target.Parse(text, namespace)
	if plain := target.ParseName(text, namespace); ref != plain && len(c.podsOf(ref)) == 0 && len(c.podsOf(plain)) > 0 {
		return plain
	}
	return ref
}

// podsOf returns the pods with the name of a reference. If there are none, it returns pods of the
// workloads with this name.
func (c *Cluster) podsOf(ref target.Ref) []*inventory.Pod {
	var found []*inventory.Pod
	if ref.Kind == "" || ref.Kind == target.Pod {
		found = c.podsNamed(ref.Name, ref.Namespace)
	}
	if len(found) == 0 && ref.Kind != target.Pod {
		found = c.podsOfWorkloads(ref)
	}
	return found
}

func (c *Cluster) addressEnd(address netip.Addr) *End {
	e := &End{addresses: []netip.Addr{address}}
	if p, ok := c.snapshot.Owner(address); ok {
		e.Pod, e.Node, e.ports = p.String(), p.Node, p.Ports
	}
	return e
}

// findPod returns the pod to which a reference refers. For a workload, findPod returns one of its
// pods.
func (c *Cluster) findPod(field, text string, ref target.Ref) (*inventory.Pod, error) {
	switch found := c.podsOf(ref); len(found) {
	case 0:
		return nil, question.Errorf(field, text, "%s", c.notFound(ref))
	case 1:
		return found[0], nil
	default:
		var names []string
		for _, p := range found {
			names = append(names, p.String())
		}
		return nil, question.Errorf(field, text, "there are several: %s; give namespace/name", phrase.Few(names))
	}
}

// notFound states why a reference refers to no pod.
func (c *Cluster) notFound(ref target.Ref) string {
	for i := range c.set.Pods {
		p := &c.set.Pods[i]
		if !p.Finished || !ofWorkload(p, ref) {
			continue
		}
		out := fmt.Sprintf("its pods have finished, such as %s, and policies do not apply to finished pods", p.String())
		if name, ok := inventory.CronJobOf(ref.Name); ok && p.Controller == "Job" {
			out += fmt.Sprintf("; cronjob/%s stands for the pods of the next run", name)
		}
		return out
	}
	if ref.Kind != "" {
		return fmt.Sprintf("no %s of that name; %s", ref.Kind, c.existingPods())
	}
	return "no pod of that name; " + c.existingPods()
}

func (c *Cluster) podsNamed(name, namespace string) []*inventory.Pod {
	var found []*inventory.Pod
	for i := range c.set.Pods {
		if p := &c.set.Pods[i]; p.Name == name && (namespace == "" || namespace == p.Pod.Namespace) {
			found = append(found, p)
		}
	}
	return found
}

// podsOfWorkloads returns one pod for each workload with the kind, the namespace and the name of a
// reference. This is the first pod of the workload that has an address, or its first pod if no pod
// has an address. Finished pods are ignored.
func (c *Cluster) podsOfWorkloads(ref target.Ref) []*inventory.Pod {
	var found []*inventory.Pod
	for i := range c.set.Pods {
		p := &c.set.Pods[i]
		if p.Finished || !ofWorkload(p, ref) {
			continue
		}
		at := slices.IndexFunc(found, func(f *inventory.Pod) bool { return f.Pod.Namespace == p.Pod.Namespace && f.Controller == p.Controller })
		switch {
		case at < 0:
			found = append(found, p)
		case len(found[at].Addresses) == 0 && len(p.Addresses) > 0:
			found[at] = p
		}
	}
	return found
}

// ofWorkload reports whether a pod belongs to a workload with the kind, the namespace and the name of
// a reference.
func ofWorkload(p *inventory.Pod, ref target.Ref) bool {
	return p.Workload == ref.Name && (ref.Namespace == "" || ref.Namespace == p.Pod.Namespace) && (ref.Kind == "" || ref.Kind == p.Controller)
}

func (c *Cluster) existingPods() string {
	if len(c.set.Pods) == 0 {
		return "there are no pods at all"
	}
	var names []string
	for i := range c.set.Pods {
		names = append(names, c.set.Pods[i].String())
	}
	slices.Sort(names)
	return "there are " + phrase.Few(names)
}

// podEnd returns the end for a pod. If flows of the pod cannot be evaluated, podEnd returns
// an error with the reason, for example that the pod has no address.
func (c *Cluster) podEnd(field string, p *inventory.Pod) (*End, error) {
	if p.HostNetwork {
		return c.hostNetworkEnd(field, p)
	}
	e := &End{Pod: p.String(), Node: p.Node, ports: p.Ports, assigned: p.Assigned}
	if p.Template {
		e.Template = p.Controller
	}
	switch {
	case p.Finished:
		return nil, question.Errorf(field, e.Pod, "the pod has finished and has no address any more")
	case len(p.Addresses) == 0:
		return nil, question.Errorf(field, e.Pod, "the pod has no address yet (status.podIPs)")
	}
	for _, a := range p.Addresses {
		if owner, _ := c.snapshot.Owner(a); owner.String() == e.Pod {
			e.addresses = append(e.addresses, a)
		}
	}
	if len(e.addresses) == 0 {
		owner, _ := c.snapshot.Owner(p.Addresses[0])
		return nil, question.Errorf(field, e.Pod, "its address %s now belongs to pod %s", p.Addresses[0], &owner)
	}
	return e, nil
}

// hostNetworkEnd returns the end for a pod in the host network. Such a pod uses the
// addresses of its node.
func (c *Cluster) hostNetworkEnd(field string, p *inventory.Pod) (*End, error) {
	e := &End{Pod: p.String(), Node: p.Node, ports: p.Ports, hostNetwork: true}
	e.addresses = append(slices.Clone(p.HostAddresses), p.Addresses...)
	for _, n := range c.snapshot.Nodes() {
		if n.Name == p.Node && len(e.addresses) == 0 {
			e.addresses = n.Addresses
		}
	}
	if len(e.addresses) == 0 {
		return nil, question.Errorf(field, e.Pod, "the pod is in the host network, and the address of its node is not known; give that address instead")
	}
	return e, nil
}

// findInTree returns the end of a flow for a text: an IP address, or a pod of the tree's node.
// It uses only this tree. The `field` parameter is the name that error messages use for the text,
// such as "from".
func findInTree(t *tree.Tree, field, text, namespace string) (*End, error) {
	if text == "" {
		return nil, question.Errorf(field, "", "give a pod of this node (name or namespace/name) or an IP address")
	}
	address, isAddress, err := parseAddress(field, text)
	if err != nil {
		return nil, err
	}
	var found []*End
	var all []string
	for pod := range t.Pods() {
		podNamespace, name, _ := strings.Cut(pod.Name, "/")
		all = append(all, pod.Name)
		switch {
		case isAddress && slices.Contains(pod.Addresses, address):
			return &End{Pod: pod.Name, Node: t.Node(), addresses: []netip.Addr{address}}, nil
		case text == pod.Name, text == name && (namespace == "" || namespace == podNamespace):
			found = append(found, &End{Pod: pod.Name, Node: t.Node(), addresses: pod.Addresses})
		}
	}
	switch {
	case isAddress:
		return &End{addresses: []netip.Addr{address}}, nil
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, question.Errorf(field, text, "there are several pods of that name; give namespace/name")
	}
	slices.Sort(all)
	return nil, question.Errorf(field, text, "no pod of node %s; there are %s; give the address of a pod of another node", t.Node(), phrase.Few(all))
}
