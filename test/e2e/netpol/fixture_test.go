package netpol_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/labcluster"
	"github.com/sluicenet/sluice/test/stage"
)

// These variables define the pods of a fixture. A fixture creates pods a, b and c in each of
// the namespaces x, y and z. Pods with the same name run on different nodes, and the pods of a
// namespace run on different nodes. Each pod has the label pod=NAME and the ports in podPorts.
// Each namespace has the label ns=NAME.
var (
	namespaceNames = []string{"x", "y", "z"}
	podNames       = []string{"a", "b", "c"}
	podPorts       = []corev1.ContainerPort{
		{Name: "serve-80-tcp", ContainerPort: 80, Protocol: corev1.ProtocolTCP},
		{Name: "serve-81-tcp", ContainerPort: 81, Protocol: corev1.ProtocolTCP},
		{Name: "serve-80-udp", ContainerPort: 80, Protocol: corev1.ProtocolUDP},
		{Name: "serve-81-udp", ContainerPort: 81, Protocol: corev1.ProtocolUDP},
		{Name: "serve-80-sctp", ContainerPort: 80, Protocol: corev1.ProtocolSCTP},
		{Name: "serve-81-sctp", ContainerPort: 81, Protocol: corev1.ProtocolSCTP},
	}
)

// These are the protocols and ports to which most scenarios connect.
var (
	tcp80  = labcluster.Target{Protocol: flow.TCP, Port: 80}
	tcp81  = labcluster.Target{Protocol: flow.TCP, Port: 81}
	udp80  = labcluster.Target{Protocol: flow.UDP, Port: 80}
	udp81  = labcluster.Target{Protocol: flow.UDP, Port: 81}
	sctp80 = labcluster.Target{Protocol: flow.SCTP, Port: 80}
	sctp81 = labcluster.Target{Protocol: flow.SCTP, Port: 81}
	ping   = labcluster.Target{Protocol: flow.ICMP}
)

// fixtures is the number of fixtures that have been created. Each new fixture gets the next number.
// The names of its namespaces contain this number, so that fixtures do not share namespaces.
var fixtures atomic.Uint32

// fixture manages the namespaces and pods of one scenario.
type fixture struct {
	*testing.T
	cluster *labcluster.Cluster
	number  uint32
	targets []labcluster.Target
	// outside contains the sources and destinations that addOutside has added. They are not in the
	// cluster.
	outside []labcluster.End
}

// newFixture creates the namespaces and pods, and deletes them after the test.
func newFixture(t *testing.T, cluster *labcluster.Cluster, targets ...labcluster.Target) *fixture {
	t.Helper()
	if len(targets) == 0 {
		targets = []labcluster.Target{tcp80, tcp81, udp80}
	}
	s := &fixture{T: t, cluster: cluster, number: fixtures.Add(1), targets: targets}
	for i, name := range namespaceNames {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace(name), Labels: map[string]string{"ns": name}}}
		s.must(cluster.Client().Create(t.Context(), namespace))
		t.Cleanup(func() { _ = cluster.Client().Delete(cleanup(), namespace) })
		for j, pod := range podNames {
			s.createPod(name+"/"+pod, func(p *corev1.Pod) { p.Spec.NodeName = cluster.Node((i + j) % len(cluster.Nodes())).Name() })
		}
	}
	for _, name := range namespaceNames {
		s.must(cluster.WaitRunning(t.Context(), s.namespace(name)))
	}
	return s
}

func (s *fixture) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// namespace returns the real name of namespace x, y or z in the cluster, such as x-7.
func (s *fixture) namespace(name string) string { return fmt.Sprintf("%s-%d", name, s.number) }

// key returns the object key for a path such as x/a. The key contains the real name of the
// namespace in the cluster.
func (s *fixture) key(path string) client.ObjectKey {
	namespace, name, _ := strings.Cut(path, "/")
	return client.ObjectKey{Namespace: s.namespace(namespace), Name: name}
}

// createPod creates a pod with the labels and ports of the fixture's pods. Before it creates the
// pod, it calls the function `change`, which can modify the object.
func (s *fixture) createPod(path string, change func(*corev1.Pod)) {
	s.Helper()
	key := s.key(path)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, Labels: map[string]string{"pod": key.Name}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "serve", Image: "serve", Ports: slices.Clone(podPorts)}}},
	}
	change(pod)
	s.must(s.cluster.Client().Create(s.Context(), pod))
}

// deletePod deletes a pod and waits until the Pod object no longer exists.
func (s *fixture) deletePod(path string) {
	s.Helper()
	pod := s.pod(path)
	s.must(s.cluster.Client().Delete(s.Context(), pod))
	s.must(s.cluster.WaitGone(s.Context(), pod))
}

func (s *fixture) pod(path string) *corev1.Pod {
	s.Helper()
	pod := &corev1.Pod{}
	s.must(s.cluster.Client().Get(s.Context(), s.key(path), pod))
	return pod
}

// replacePod deletes a pod and creates a pod with the same name on the same node. The function
// `change` can modify the new Pod object before it is created.
func (s *fixture) replacePod(path string, change func(*corev1.Pod)) {
	s.Helper()
	old := s.pod(path)
	s.deletePod(path)
	s.createPod(path, func(p *corev1.Pod) {
		p.Spec.NodeName = old.Spec.NodeName
		change(p)
	})
	s.must(s.cluster.WaitRunning(s.Context(), s.key(path).Namespace))
}

// placeholder matches the placeholders in the spec of a policy. $x stands for the real name of
// namespace x in the cluster. $ip4(x/a) and $ip6(x/a) stand for the addresses of pod x/a.
var placeholder = regexp.MustCompile(`\$(?:ip([46])\(([^)]+)\)|([xyz]))`)

func (s *fixture) fill(text string) string {
	s.Helper()
	return placeholder.ReplaceAllStringFunc(text, func(match string) string {
		parts := placeholder.FindStringSubmatch(match)
		if parts[3] != "" {
			return s.namespace(parts[3])
		}
		return s.address(parts[2], parts[1]).String()
	})
}

// address returns an address of the pod or host with the given name. The `family` parameter is
// "4" or "6".
func (s *fixture) address(name, family string) netip.Addr {
	s.Helper()
	for _, a := range s.end(name).Addresses {
		if a.Is4() == (family == "4") {
			return a
		}
	}
	s.Fatalf("%s has no address of family %s", name, family)
	return netip.Addr{}
}

// apply creates a policy, or updates an existing one.
func (s *fixture) apply(path, spec string) {
	s.Helper()
	key := s.key(path)
	policy := stage.Policy(s.T, key.Namespace+"/"+key.Name, s.fill(spec))
	held := &networkingv1.NetworkPolicy{}
	err := s.cluster.Client().Get(s.Context(), key, held)
	if client.IgnoreNotFound(err) != nil {
		s.Fatal(err)
	}
	if err != nil {
		s.must(s.cluster.Client().Create(s.Context(), policy))
		return
	}
	held.Spec = policy.Spec
	s.must(s.cluster.Client().Update(s.Context(), held))
}

// remove deletes a policy.
func (s *fixture) remove(path string) {
	s.Helper()
	key := s.key(path)
	s.must(s.cluster.Client().Delete(s.Context(), &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}))
}

// label sets a label of a pod or of a namespace. An empty value removes the label.
func (s *fixture) label(path, label, value string) {
	s.Helper()
	text := strconv.Quote(value)
	if value == "" {
		text = "null"
	}
	var object client.Object
	if namespace, name, isPod := strings.Cut(path, "/"); isPod {
		object = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace(namespace), Name: name}}
	} else {
		object = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace(path)}}
	}
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%s}}}`, label, text)
	s.must(s.cluster.Client().Patch(s.Context(), object, client.RawPatch("application/merge-patch+json", patch)))
}

// addOutside adds addresses to the outside host. Later checks also open connections from and to
// these addresses. Expectations refer to the addresses by the given name.
func (s *fixture) addOutside(name string, addresses ...string) {
	s.Helper()
	end := labcluster.End{Name: name}
	for _, text := range addresses {
		end.Addresses = append(end.Addresses, netip.MustParseAddr(text))
	}
	host, err := s.cluster.Outside(end.Addresses...)
	s.must(err)
	end.Host = host
	for _, a := range end.Addresses {
		for _, target := range s.targets {
			if target.Protocol.HasPorts() {
				server, err := host.Serve(target.Protocol, netip.AddrPortFrom(a, target.Port))
				s.must(err)
				s.Cleanup(server.Close)
			}
		}
	}
	s.outside = append(s.outside, end)
}

// end returns the source or destination with the given name. The name is the path of a pod,
// such as x/a, or a name that was passed to addOutside.
func (s *fixture) end(name string) labcluster.End {
	s.Helper()
	if i := slices.IndexFunc(s.outside, func(e labcluster.End) bool { return e.Name == name }); i >= 0 {
		return s.outside[i]
	}
	key := s.key(name)
	end, err := s.cluster.End(key.Namespace, key.Name)
	s.must(err)
	end.Name = name
	return end
}

func (s *fixture) ends() []labcluster.End {
	s.Helper()
	var out []labcluster.End
	for _, namespace := range namespaceNames {
		var pods corev1.PodList
		s.must(s.cluster.Client().List(s.Context(), &pods, client.InNamespace(s.namespace(namespace))))
		for i := range pods.Items {
			if pods.Items[i].DeletionTimestamp == nil {
				out = append(out, s.end(namespace+"/"+pods.Items[i].Name))
			}
		}
	}
	return append(out, s.outside...)
}

// The method `holds` waits until all nodes enforce the current objects, and then opens every
// connection. The parameter `want` contains expectations, which are lines in the language of
// test/stage. The test fails unless the results agree with these expectations and with the
// verdicts of test/reference. A pattern such as x/* does not match connections of a pod to itself.
func (s *fixture) holds(want ...string) {
	s.Helper()
	s.must(s.cluster.WaitEnforced(s.Context()))
	s.check(want...)
}

// check does the same as the method `holds`, but does not wait until the nodes enforce the current
// objects.
func (s *fixture) check(want ...string) {
	s.Helper()
	ends := s.ends()
	table, err := s.cluster.Table(s.Context(), ends, s.targets)
	s.must(err)
	differences := table.Differences()
	differences = append(differences, s.compare(table, ends, strings.Join(want, "\n"))...)
	if len(differences) > 0 {
		for _, n := range s.cluster.Nodes() {
			s.Logf("%s", n.Agent().Log())
			s.Logf("%s", n.Dataplane().Log())
		}
		s.Fatalf("%d of %d cells:\n%s\n%s", len(differences), len(table), strings.Join(differences[:min(len(differences), 20)], "\n"), table)
	}
}

// compare returns a message for each result that differs from an expectation.
func (s *fixture) compare(table labcluster.Table, ends []labcluster.End, lines string) []string {
	s.Helper()
	var out []string
	for _, e := range stage.Expectations(s.T, lines) {
		found := 0
		for _, from := range ends {
			for _, to := range ends {
				if from.Name == to.Name && (e.From != from.Name || e.To != to.Name) {
					continue
				}
				for _, target := range s.targets {
					if !e.Matches(from.Name, to.Name, target.Protocol, target.Port) {
						continue
					}
					found++
					if got, same := table.Got(from.Name, to.Name, target); !same || (got == lab.Connected) != e.Allowed {
						out = append(out, fmt.Sprintf("%s to %s %s: %s (the same over both families: %t), want %s", from.Name, to.Name, target, got, same, e.Line))
					}
				}
			}
		}
		if found == 0 {
			s.Fatalf("%q: there is no such connection", e.Line)
		}
	}
	return out
}
