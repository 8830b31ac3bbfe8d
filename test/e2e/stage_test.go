package e2e_test

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/tree/build"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/test/lab"
)

// shop is the cluster of all tests, written as
//
//	namespace shop team=shop
//	pod shop/web @one app=web http:8080/TCP
//
// where @one is the default and a pod has labels (key=value) and named ports.
const shop = `
	namespace shop team=shop
	namespace lab team=lab
	pod shop/web app=web http:8080/TCP dns:5353/UDP sig:3868/SCTP
	pod shop/old app=web http:8000/TCP
	pod shop/db app=db
	pod lab/probe app=probe
	pod lab/far @two app=far
`

// stage is a cluster of two nodes. Node one runs the dataplane.
type stage struct {
	t        *testing.T
	lab      *lab.Lab
	nodes    map[string]*lab.Node
	pods     map[string]*lab.Pod
	services map[string]lab.Service
	proxy    *lab.Services
	servers  map[server]*lab.Server

	state    *lab.StateDir
	snapshot *policy.Snapshot
	compiler *policy.Compiler
	builder  *build.Builder
	trees    *statedir.Publisher
	plane    *plane
	// silent: refused packets are dropped without a word.
	silent bool
}

type server struct {
	host     *lab.Host
	protocol flow.Protocol
	at       netip.AddrPort
}

// newStage makes the cluster, publishes its tree and starts the dataplane with
// more arguments. Without a --deny of its own the dataplane rejects, so that a refusal is seen
// at once.
func newStage(t *testing.T, policies map[string]string, args ...string) *stage {
	t.Helper()
	s := setStage(t, policies)
	s.start(args...)
	return s
}

// setStage is newStage without a dataplane.
func setStage(t *testing.T, policies map[string]string) *stage {
	t.Helper()
	s := &stage{
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
	for line := range strings.Lines(shop) {
		if fields := strings.Fields(line); len(fields) > 0 {
			s.add(fields)
		}
	}
	for name, spec := range policies {
		s.set(name, spec)
	}
	s.compiler, s.builder = s.snapshot.Compile("one"), build.New("one")
	t.Cleanup(s.compiler.Close)
	s.publish()
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) add(fields []string) {
	s.t.Helper()
	labels := map[string]string{}
	for _, field := range fields[2:] {
		if key, value, ok := strings.Cut(field, "="); ok {
			labels[key] = value
		}
	}
	switch fields[0] {
	case "namespace":
		s.snapshot.UpsertNamespace(policy.Namespace{Name: fields[1], Labels: policy.LabelsOf(labels)})
	case "pod":
		s.addPod(fields, labels)
	default:
		s.t.Fatalf("stage: %v is no namespace and no pod", fields)
	}
}

func (s *stage) addPod(fields []string, labels map[string]string, addresses ...netip.Addr) {
	s.t.Helper()
	p := policy.Pod{Labels: policy.LabelsOf(labels), Node: "one", Running: true}
	p.Namespace, p.Name, _ = strings.Cut(fields[1], "/")
	for _, field := range fields[2:] {
		name, rest, named := strings.Cut(field, ":")
		switch {
		case strings.HasPrefix(field, "@"):
			p.Node = field[1:]
		case named:
			number, protocol, _ := strings.Cut(rest, "/")
			parsed, err := flow.ParseProtocol(protocol)
			s.must(err)
			p.Ports = append(p.Ports, policy.ContainerPort{Name: name, Protocol: uint8(parsed), Number: s.number(number)})
		}
	}
	pod, err := s.nodes[p.Node].AddPod(fields[1], addresses...)
	s.must(err)
	s.pods[fields[1]] = pod
	p.Addresses = pod.Addresses()
	s.snapshot.UpsertPod(&p)
}

func (s *stage) number(text string) uint16 {
	s.t.Helper()
	n, err := strconv.ParseUint(text, 10, 16)
	s.must(err)
	return uint16(n)
}

// set adds or changes a policy.
func (s *stage) set(name, spec string) {
	s.t.Helper()
	p := &networkingv1.NetworkPolicy{}
	p.Namespace, p.Name, _ = strings.Cut(name, "/")
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		s.t.Fatalf("policy %s: %v", name, err)
	}
	read, _ := policy.ReadNetworkPolicy(p)
	s.snapshot.UpsertPolicy(read)
}

func (s *stage) remove(name string) {
	namespace, name, _ := strings.Cut(name, "/")
	s.snapshot.DeletePolicy(namespace, name)
}

// label changes a label of a pod.
func (s *stage) label(name, key, value string) {
	for _, p := range s.snapshot.Pods() {
		if p.Namespace+"/"+p.Name == name {
			p.Labels = p.Labels.With(key, value)
			s.snapshot.UpsertPod(&p)
		}
	}
}

// publish makes the next generation and does not wait for it.
func (s *stage) publish() uint64 {
	s.t.Helper()
	s.must(s.builder.Apply(s.compiler.Delta()))
	generation, err := s.trees.Publish(s.builder)
	s.must(err)
	return generation
}

// enforce publishes and waits until the dataplane says that it holds.
func (s *stage) enforce() {
	s.t.Helper()
	s.plane.enforces(s.publish())
}

// start starts the dataplane and waits until it enforces.
func (s *stage) start(args ...string) {
	s.t.Helper()
	all := append([]string{"--deny", "Reject"}, args...)
	s.silent = strings.Contains(strings.Join(all, " "), "--deny Drop")
	s.plane = startPlane(s.t, s.nodes["one"], s.state.Path(), all...)
	s.plane.enforces(1)
}

// serve makes services on node one, in both families, one per line:
//
//	NAME PROTOCOL PORT -> POD PORT [masquerade]
//
// A NAME that begins with node is at the node's address, others have their own.
func (s *stage) serve(lines string) {
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
				Address:    netip.AddrPortFrom(address, s.number(fields[2])),
				Backend:    netip.AddrPortFrom(backend, s.number(fields[5])),
				Masquerade: len(fields) > 6,
			}
			s.must(s.proxy.Add(service))
			s.services[fields[0]+like.String()] = service
		}
	}
}

var families = []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}

func (s *stage) pod(name string) *lab.Pod {
	s.t.Helper()
	p := s.pods[name]
	if p == nil {
		s.t.Fatalf("stage: no pod %s", name)
	}
	return p
}

// host gives what an end is called by: a pod, node:NAME or outside.
func (s *stage) host(end string) *lab.Host {
	s.t.Helper()
	if name, ok := strings.CutPrefix(end, "node:"); ok {
		return s.nodes[name].Host
	}
	if end == "outside" {
		return s.lab.World
	}
	return s.pod(end).Host
}

// address gives an end's address of a family.
func (s *stage) address(end string, like netip.Addr) netip.Addr {
	s.t.Helper()
	a, ok := s.host(end).Address(like)
	if !ok {
		s.t.Fatalf("stage: %s has no address like %s", end, like)
	}
	return a
}

// gateway gives the node an address at its end of a pod's link, as many CNI
// plugins do.
func (s *stage) gateway(pod string, addresses ...string) {
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

// serverAt gives the server of a host, started when it is first asked for.
func (s *stage) serverAt(host *lab.Host, protocol flow.Protocol, at netip.AddrPort) *lab.Server {
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
