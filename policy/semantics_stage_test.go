package policy_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/test/cluster"
)

// stage is where the rows of docs/semantics.md are played. Written as
//
//	namespace shop team=red
//	node one
//	pod shop/web @one app=web http:8080/TCP
//
// where @one is the default and a pod has labels (key=value) and named ports.
// The n-th pod has addresses 10.0.0.n and fd00::n, the n-th node 192.168.0.n
// and fd01::n.
type stage struct {
	t testing.TB
	*world
}

func newStage(t testing.TB, objects string, policies ...*networkingv1.NetworkPolicy) *stage {
	t.Helper()
	var o cluster.Objects
	for line := range strings.Lines(objects) {
		if fields := strings.Fields(line); len(fields) > 0 {
			o.Apply(cluster.Change{Object: parseObject(t, o, fields)})
		}
	}
	o.Policies = policies
	nodes := []string{""}
	for _, n := range o.Nodes {
		nodes = append(nodes, n.Name)
	}
	w := newWorld(t, newStateDirs(t), nodes, o)
	t.Cleanup(w.close)
	return &stage{t: t, world: w}
}

func parseObject(t testing.TB, o cluster.Objects, fields []string) metav1.Object {
	t.Helper()
	labels := map[string]string{}
	for _, field := range fields[2:] {
		if key, value, ok := strings.Cut(field, "="); ok {
			labels[key] = value
		}
	}
	switch fields[0] {
	case "namespace":
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fields[1], Labels: labels}}
	case "node":
		number := len(o.Nodes) + 1
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fields[1]}}
		node.Status.Addresses = []corev1.NodeAddress{
			{Type: corev1.NodeHostName, Address: fields[1]},
			{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.168.0.%d", number)},
			{Type: corev1.NodeExternalIP, Address: fmt.Sprintf("fd01::%d", number)},
		}
		return node
	case "pod":
		return parsePod(t, len(o.Pods)+1, fields, labels)
	}
	t.Fatalf("stage: %v is no namespace, node or pod", fields)
	return nil
}

func parsePod(t testing.TB, number int, fields []string, labels map[string]string) *corev1.Pod {
	t.Helper()
	namespace, name, _ := strings.Cut(fields[1], "/")
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}}
	pod.Spec.NodeName = "one"
	pod.Spec.Containers = []corev1.Container{{}}
	pod.Status.Phase = corev1.PodRunning
	setIPs(pod, fmt.Sprintf("10.0.0.%d", number), fmt.Sprintf("fd00::%d", number))
	for _, field := range fields[2:] {
		if node, ok := strings.CutPrefix(field, "@"); ok {
			pod.Spec.NodeName = node
		} else if port, rest, ok := strings.Cut(field, ":"); ok && !strings.Contains(field, "=") {
			c := &pod.Spec.Containers[0]
			c.Ports = append(c.Ports, containerPort(t, port, rest))
		}
	}
	return pod
}

func containerPort(t testing.TB, name, numberAndProtocol string) corev1.ContainerPort {
	t.Helper()
	text, protocol, _ := strings.Cut(numberAndProtocol, "/")
	number, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		t.Fatalf("stage: port %s: %v", name, err)
	}
	return corev1.ContainerPort{Name: name, ContainerPort: int32(number), Protocol: corev1.Protocol(protocol)}
}

func setIPs(pod *corev1.Pod, addresses ...string) {
	pod.Status.PodIP, pod.Status.PodIPs = "", nil
	for _, address := range addresses {
		pod.Status.PodIPs = append(pod.Status.PodIPs, corev1.PodIP{IP: address})
	}
	if len(addresses) > 0 {
		pod.Status.PodIP = addresses[0]
	}
}

// netpol reads a policy's spec from YAML.
func netpol(t testing.TB, name, spec string) *networkingv1.NetworkPolicy {
	t.Helper()
	p := &networkingv1.NetworkPolicy{}
	p.Namespace, p.Name, _ = strings.Cut(name, "/")
	if err := yaml.UnmarshalStrict([]byte(strings.ReplaceAll(spec, "\t", "  ")), &p.Spec); err != nil {
		t.Fatalf("policy %s: %v", name, err)
	}
	return p
}

// pod gives a copy of a pod to change and to hand to set.
func (s *stage) pod(name string) *corev1.Pod {
	s.t.Helper()
	for _, p := range s.objects.Pods {
		if p.Namespace+"/"+p.Name == name {
			return p.DeepCopy()
		}
	}
	s.t.Fatalf("stage: no pod %s", name)
	return nil
}

// edit changes a pod.
func (s *stage) edit(name string, change func(*corev1.Pod)) {
	s.t.Helper()
	p := s.pod(name)
	change(p)
	s.set(p)
}

func (s *stage) set(objects ...metav1.Object) {
	s.t.Helper()
	for _, o := range objects {
		s.apply(cluster.Change{Object: o})
	}
}

func (s *stage) remove(o metav1.Object) {
	s.t.Helper()
	s.apply(cluster.Change{Object: o, Deleted: true})
}

// want publishes and judges one flow per line:
//
//	shop/web -> shop/db TCP 5432 | NotIsolated | Rule shop/db[0]
//
// is from whom, to whom, protocol and port, the egress side, the ingress side.
// An end is a pod, node:NAME or an address. Between named ends the flow is
// judged in both families.
func (s *stage) want(lines string) {
	s.t.Helper()
	s.publish()
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		parts := strings.Split(line, "|")
		if len(parts) != 3 {
			s.t.Fatalf("stage: %q: want FLOW | EGRESS | INGRESS", line)
		}
		for _, f := range s.flows(parts[0]) {
			egress, ingress := s.judge(f)
			if got, want := egress.String(), strings.TrimSpace(parts[1]); got != want {
				s.t.Errorf("%s\n%s: egress: got %s, want %s", line, f, got, want)
			}
			if got, want := ingress.String(), strings.TrimSpace(parts[2]); got != want {
				s.t.Errorf("%s\n%s: ingress: got %s, want %s", line, f, got, want)
			}
			if got, want := ingress.Verdict, ingress.Reason != rule.NoRuleMatched; (got == rule.Allow) != want {
				s.t.Errorf("%s\n%s: ingress: verdict %s with reason %s", line, f, got, ingress.Reason)
			}
			s.checkReference(f, egress, ingress)
		}
	}
}

func (s *stage) flows(text string) []flow.Flow {
	s.t.Helper()
	fields := strings.Fields(text)
	if len(fields) < 4 || fields[1] != "->" {
		s.t.Fatalf("stage: %q: want FROM -> TO PROTOCOL [PORT]", text)
	}
	protocol, err := flow.ParseProtocol(fields[3])
	if err != nil {
		s.t.Fatalf("stage: %q: %v", text, err)
	}
	f := flow.Flow{Protocol: protocol}
	if protocol.HasPorts() {
		port, err := strconv.ParseUint(fields[4], 10, 16)
		if err != nil {
			s.t.Fatalf("stage: %q: %v", text, err)
		}
		f.SrcPort, f.DstPort = 40000, uint16(port)
	}
	var flows []flow.Flow
	for _, src := range s.addresses(fields[0]) {
		for _, dst := range s.addresses(fields[2]) {
			if src.Is4() == dst.Is4() {
				f.Src, f.Dst = src, dst
				flows = append(flows, f)
			}
		}
	}
	if len(flows) == 0 {
		s.t.Fatalf("stage: %q: no address family in common", text)
	}
	return flows
}

func (s *stage) addresses(end string) []netip.Addr {
	s.t.Helper()
	var list []netip.Addr
	if address, err := netip.ParseAddr(end); err == nil {
		return append(list, address)
	}
	if name, ok := strings.CutPrefix(end, "node:"); ok {
		for _, n := range s.objects.Nodes {
			if n.Name != name {
				continue
			}
			for _, a := range n.Status.Addresses {
				if a.Type != corev1.NodeHostName {
					list = append(list, netip.MustParseAddr(a.Address))
				}
			}
		}
		return list
	}
	for _, a := range s.pod(end).Status.PodIPs {
		list = append(list, netip.MustParseAddr(a.IP))
	}
	return list
}

// row is a row that needs no change of the cluster to be seen.
type row struct {
	objects  string
	policies map[string]string
	want     string
}

// play judges the row twice: with policies that were there first, and with
// policies that come when everything else is published.
func (r row) play(t *testing.T) {
	t.Helper()
	var policies []*networkingv1.NetworkPolicy
	for name, spec := range r.policies {
		policies = append(policies, netpol(t, name, spec))
	}
	newStage(t, r.objects, policies...).want(r.want)
	late := newStage(t, r.objects)
	late.publish()
	for _, p := range policies {
		late.set(p)
	}
	late.want(r.want)
}
