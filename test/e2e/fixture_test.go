package e2e_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/compile"
	"github.com/sluicenet/sluice/policy/read"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/stage"
)

// shop describes the cluster of all tests in the language of package stage. The lab assigns the
// addresses of the pods.
const shop = `
	- {namespace: shop, labels: {team: shop}}
	- {namespace: lab, labels: {team: lab}}
	- {pod: shop/web, labels: {app: web}, ports: [http:8080/TCP, dns:5353/UDP, sig:3868/SCTP]}
	- {pod: shop/old, labels: {app: web}, ports: [http:8000/TCP]}
	- {pod: shop/db, labels: {app: db}}
	- {pod: lab/probe, labels: {app: probe}}
	- {pod: lab/far, node: two, labels: {app: far}}
`

// fixture is a cluster with two nodes. A dataplane runs on node one, but not on node two.
type fixture struct {
	t        *testing.T
	lab      *lab.Lab
	nodes    map[string]*lab.Node
	pods     map[string]*lab.Pod
	services map[string]lab.Service
	proxy    *lab.Services
	servers  map[server]*lab.Server

	state    *lab.StateDir
	snapshot *policy.Snapshot
	compiler *compile.Compiler
	builder  *build.Builder
	trees    *statedir.Publisher
	plane    *plane
	// silent means that the dataplane drops denied packets without sending a reply.
	silent bool
}

type server struct {
	host     *lab.Host
	protocol flow.Protocol
	at       netip.AddrPort
}

// newFixture creates the cluster with the given policies, publishes its tree, and starts the
// dataplane with the additional arguments `args`. If `args` does not contain --deny, the dataplane
// rejects denied packets, so that clients need not wait for a timeout.
func newFixture(t *testing.T, policies map[string]string, args ...string) *fixture {
	t.Helper()
	s := newCluster(t, policies)
	s.start(args...)
	return s
}

// newCluster creates the same cluster as newFixture, but starts no dataplane.
func newCluster(t *testing.T, policies map[string]string) *fixture {
	t.Helper()
	s := &fixture{
		t: t, nodes: map[string]*lab.Node{}, pods: map[string]*lab.Pod{},
		services: map[string]lab.Service{}, servers: map[server]*lab.Server{}, snapshot: policy.NewSnapshot(),
	}
	var err error
	s.lab, err = lab.New()
	s.must(err)
	t.Cleanup(s.lab.Close)
	s.state, err = lab.NewStateDir()
	s.must(err)
	t.Cleanup(func() { s.must(s.state.Close()) })
	s.trees, err = statedir.NewPublisher(s.state.Path())
	s.must(err)
	for _, name := range []string{"one", "two"} {
		s.nodes[name], err = s.lab.AddNode(name)
		s.must(err)
		s.snapshot.UpsertNode(policy.Node{Name: name, Addresses: s.nodes[name].Addresses()})
	}
	objects := stage.Objects(t, shop)
	for _, n := range objects.Namespaces {
		s.snapshot.UpsertNamespace(policy.ReadNamespace(n))
	}
	for _, p := range objects.Pods {
		s.addPod(p)
	}
	for name, spec := range policies {
		s.set(name, spec)
	}
	s.compiler, s.builder = compile.New(s.snapshot, "one"), build.New("one")
	t.Cleanup(s.compiler.Close)
	s.publish()
	return s
}

func (s *fixture) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// addPod adds a pod to the lab and to the snapshot. If no addresses are given, the
// lab assigns free addresses.
func (s *fixture) addPod(object *corev1.Pod, addresses ...netip.Addr) {
	s.t.Helper()
	name := object.Namespace + "/" + object.Name
	pod, err := s.nodes[object.Spec.NodeName].AddPod(name, addresses...)
	s.must(err)
	s.pods[name] = pod
	p, faults := policy.ReadPod(object)
	if len(faults) > 0 {
		s.t.Fatalf("pod %s: %v", name, faults)
	}
	p.Addresses = pod.Addresses()
	s.snapshot.UpsertPod(p)
}

// set creates a policy, or replaces the spec of an existing policy.
func (s *fixture) set(name, spec string) {
	s.t.Helper()
	read, _ := read.NetworkPolicy(stage.Policy(s.t, name, spec))
	s.snapshot.UpsertPolicy(read)
}

func (s *fixture) remove(name string) {
	namespace, name, _ := strings.Cut(name, "/")
	s.snapshot.DeletePolicy(namespace, name)
}

// label sets a label of a pod to a new value.
func (s *fixture) label(name, key, value string) {
	for _, p := range s.snapshot.Pods() {
		if p.Namespace+"/"+p.Name == name {
			p.Labels = p.Labels.With(key, value)
			s.snapshot.UpsertPod(&p)
		}
	}
}

// publish publishes the next generation and returns its number.
func (s *fixture) publish() uint64 {
	s.t.Helper()
	s.must(s.builder.Apply(s.compiler.Delta()))
	generation, err := s.trees.Publish(s.builder)
	s.must(err)
	return generation
}

// enforce publishes the next generation, and waits until the dataplane enforces it.
func (s *fixture) enforce() {
	s.t.Helper()
	s.plane.enforces(s.publish())
}

// start starts the dataplane and waits until it enforces a generation.
func (s *fixture) start(args ...string) {
	s.t.Helper()
	all := append([]string{"--deny", "Reject"}, args...)
	s.silent = strings.Contains(strings.Join(all, " "), "--deny Drop")
	s.plane = startPlane(s.t, s.nodes["one"], s.state.Path(), all...)
	s.plane.enforces(1)
}

// serve adds services to node one. Each line describes one service:
//
//	NAME PROTOCOL PORT -> POD PORT [masquerade]
//
// Each service gets an IPv4 and an IPv6 address. If the name begins with "node", the addresses are
// the addresses of the node, as for a NodePort service. Otherwise no other service uses the same
// addresses.
func (s *fixture) serve(lines string) {
	s.t.Helper()
	var err error
	s.proxy, err = s.nodes["one"].NewServices()
	s.must(err)
	number := 0
	for line := range strings.Lines(lines) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		number++
		protocol, err := flow.ParseProtocol(fields[1])
		s.must(err)
		ports := []uint16{0, 0}
		for i, text := range []string{fields[2], fields[5]} {
			port, err := strconv.ParseUint(text, 10, 16)
			s.must(err)
			ports[i] = uint16(port)
		}
		for _, like := range families {
			address := netip.AddrFrom4([4]byte{10, 96, 0, byte(number)})
			if like.Is6() {
				address = netip.MustParseAddr(fmt.Sprintf("fd00:10:96::%d", number))
			}
			if strings.HasPrefix(fields[0], "node") {
				address, _ = s.nodes["one"].Address(like)
			}
			backend, _ := s.pod(fields[4]).Address(like)
			service := lab.Service{
				Protocol:   protocol,
				Address:    netip.AddrPortFrom(address, ports[0]),
				Backend:    netip.AddrPortFrom(backend, ports[1]),
				Masquerade: len(fields) > 6,
			}
			s.must(s.proxy.Add(service))
			s.services[fields[0]+like.String()] = service
		}
	}
}

var families = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}

func (s *fixture) pod(name string) *lab.Pod {
	s.t.Helper()
	p := s.pods[name]
	if p == nil {
		s.t.Fatalf("there is no pod %s", name)
	}
	return p
}

// host returns a host by its name in an expectation. The name is the name of a pod, `node:NAME` or
// `outside`.
func (s *fixture) host(end string) *lab.Host {
	s.t.Helper()
	if name, ok := strings.CutPrefix(end, "node:"); ok {
		return s.nodes[name].Host
	}
	if end == "outside" {
		return s.lab.Outside
	}
	return s.pod(end).Host
}

// address returns the address of a host. The `end` parameter is the name of the host. The address
// has the same family as the `like` parameter.
func (s *fixture) address(end string, like netip.Addr) netip.Addr {
	s.t.Helper()
	a, ok := s.host(end).Address(like)
	if !ok {
		s.t.Fatalf("%s has no address of the family of %s", end, like)
	}
	return a
}

// gateway adds addresses to the interface through which the node reaches a pod. Some CNI plugins
// add the address of the pod's gateway to this interface in the same way.
func (s *fixture) gateway(pod string, addresses ...string) {
	s.t.Helper()
	p := s.pod(pod)
	s.must(s.nodes["one"].Do(func() error {
		link, err := netlink.LinkByName(p.Interface)
		if err != nil {
			return err
		}
		for _, a := range addresses {
			address, err := netlink.ParseAddr(a)
			if err != nil {
				return err
			}
			address.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(link, address); err != nil {
				return err
			}
		}
		return nil
	}))
}

// serverAt returns the server that listens on an address of a host. The first call for an
// address starts the server. For ICMP, serverAt returns nil, because the kernel replies to echo
// requests.
func (s *fixture) serverAt(host *lab.Host, protocol flow.Protocol, at netip.AddrPort) *lab.Server {
	s.t.Helper()
	if protocol == flow.ICMP || protocol == flow.ICMPv6 {
		return nil
	}
	if !protocol.HasPorts() {
		at = netip.AddrPortFrom(at.Addr(), 0)
	}
	key := server{host, protocol, at}
	if s.servers[key] == nil {
		started, err := host.Serve(protocol, at)
		s.must(err)
		s.servers[key] = started
	}
	return s.servers[key]
}
