package e2e_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/dataplane/status"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/stage"
)

// cniResults represents a directory with CNI results.
type cniResults struct {
	t   *testing.T
	dir string
}

func newCNIResults(t *testing.T) cniResults {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return cniResults{t, dir}
}

// add writes the CNI result of a pod in the same format as libcni.
func (c cniResults) add(name string, pod *lab.Pod) {
	c.t.Helper()
	namespace, name, _ := strings.Cut(name, "/")
	var ips []map[string]any
	for _, a := range pod.Addresses() {
		ips = append(ips, map[string]any{"address": netip.PrefixFrom(a, a.BitLen()).String(), "interface": 1})
	}
	content, err := json.Marshal(map[string]any{
		"kind": "cniCacheV1", "containerId": name, "ifName": "eth0", "networkName": "lab",
		"cniArgs": [][]string{{"K8S_POD_NAMESPACE", namespace}, {"K8S_POD_NAME", name}, {"K8S_POD_UID", name + "-uid"}},
		"result": map[string]any{
			"cniVersion": "1.0.0", "ips": ips,
			"interfaces": []map[string]any{{"name": pod.Interface}, {"name": "eth0", "sandbox": "/run/netns/" + name}},
		},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "lab-"+name+"-eth0"), content, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// lockAgent takes the agent's lock in the state directory, so that the dataplane assumes that
// an agent is running.
func (s *fixture) lockAgent() *statedir.AgentLock {
	s.t.Helper()
	lock, err := statedir.LockAgent(s.state.Path())
	s.must(err)
	return lock
}

// Before the first tree is published, new connections from and to pods are held. Open connections
// and connections of the node itself continue. When the first tree is published, the held packets
// get the verdicts of this tree.
func TestBeforeTheFirstTree(t *testing.T) {
	t.Parallel()
	s := newCluster(t, map[string]string{"shop/web": onlyProbe})
	empty, err := lab.NewStateDir()
	s.must(err)
	t.Cleanup(func() { s.must(empty.Close()) })
	results := newCNIResults(t)
	for name, pod := range s.pods {
		if name != "lab/far" {
			results.add(name, pod)
		}
	}
	// On a real node, the rules of kube-proxy make the kernel track connections before the
	// dataplane starts.
	track := exec.Command("nft", "table inet proxy { chain c { type filter hook prerouting priority 0; ct state established accept; }; }")
	s.must(s.nodes["one"].Do(track.Run))
	open := s.open("lab/far -> shop/db TCP 1", families[0])
	s.plane = startPlane(t, s.nodes["one"], empty.Path(), "--deny", "Reject", "--hold", "20s", "--cni-results", results.dir)
	eventually.True(t, "the dataplane has installed its rules", func() bool {
		running, err := status.Read(t.Context(), empty.Path())
		return err == nil && running.Queueing != "" && running.Held.CNIResults
	})
	begin := time.Now()
	var begun []<-chan lab.Result
	for _, like := range families {
		for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP} {
			for _, port := range []uint16{8080, 8081} {
				to := netip.AddrPortFrom(s.address("shop/web", like), port)
				s.serverAt(s.host("shop/web"), protocol, to)
				done := make(chan lab.Result, 1)
				go func() {
					got, err := s.host("lab/probe").Probe(t.Context(), protocol, netip.Addr{}, to, 19*time.Second)
					if err != nil {
						t.Error(err)
					}
					done <- got
				}()
				begun = append(begun, done)
			}
		}
	}
	eventually.True(t, "the packets are held", func() bool { return s.plane.status().Held.Waiting >= len(begun) })
	s.each("that was open before", (*stream).goesOn, open)
	s.want("node:one -> shop/web TCP 8080 allowed")
	if held := s.plane.status().Held; held.Released+held.TimedOut+held.NotPods > 0 || s.plane.status().Generation > 0 {
		t.Errorf("before the first tree: %+v", held)
	}
	trees, err := statedir.NewPublisher(empty.Path())
	s.must(err)
	generation, err := trees.Publish(s.builder)
	s.must(err)
	s.plane.enforces(generation)
	for i, done := range begun {
		// The policy onlyProbe allows only TCP port 8080.
		want := lab.Rejected
		if i%4 == 0 {
			want = lab.Connected
		}
		if got := <-done; got != want {
			t.Errorf("attempt %d: %s, want %s", i, got, want)
		}
	}
	if held := s.plane.status().Held; held.TimedOut > 0 || held.Waiting > 0 {
		t.Errorf("after the first tree, %s after the start: %+v", time.Since(begin), held)
	}
}

// A new pod sends packets immediately. While an agent is running, these packets are held until
// the agent has published a tree that contains the pod, even if this takes long. The policies
// then determine the verdicts. If no agent is running, the packets are not held, and the
// failure policy determines the verdicts.
func TestNewPod(t *testing.T) {
	t.Parallel()
	results := newCNIResults(t)
	s := newCluster(t, map[string]string{
		"shop/web": onlyProbe,
		"lab/late": `{podSelector: {matchLabels: {app: late}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}]}]}`,
	})
	for name, pod := range s.pods {
		if name != "lab/far" {
			results.add(name, pod)
		}
	}
	agent := s.lockAgent()
	options := []string{"--hold", "20s", "--cni-results", results.dir}
	s.start(options...)
	eventually.True(t, "the CNI results are read", func() bool { return s.plane.status().Held.CNIResults })
	for _, delay := range []time.Duration{0, 500 * time.Millisecond, 2 * time.Second, 5 * time.Second} {
		s.lateAgent(results, "late-"+delay.String(), func() { <-time.After(delay) })
	}
	s.lateAgent(results, "handover", func() { s.handOver(options...) })
	s.must(agent.Close())
	eventually.True(t, "the dataplane notices that no agent runs", func() bool { return s.plane.status().Held.AgentGone })
	object := stage.Objects(t, `- {pod: lab/orphan, labels: {app: probe}}`).Pods[0]
	pod, err := s.nodes["one"].AddPod("lab/orphan")
	s.must(err)
	results.add(object.Namespace+"/"+object.Name, pod)
	eventually.True(t, "packets of a new pod are dropped without an agent", func() bool {
		_, err := pod.Probe(t.Context(), flow.TCP, netip.Addr{}, netip.AddrPortFrom(s.address("shop/db", families[0]), 1), 100*time.Millisecond)
		s.must(err)
		return s.plane.status().Held.NoAgent > 0
	})
	if held := s.plane.status().Held; held.TimedOut+held.NotPods+held.OverLimit > 0 || held.Released == 0 {
		t.Errorf("%+v", held)
	}
}

// handOver starts a second dataplane, waits until this dataplane has taken over, and stops the
// first dataplane.
func (s *fixture) handOver(args ...string) {
	s.t.Helper()
	first, begin := s.plane, time.Now()
	s.start(args...)
	eventually.True(s.t, "the second dataplane takes over", func() bool {
		now := s.plane.status()
		return now.Started.After(begin) && now.Generation == now.Published
	})
	first.stop()
}

// lateAgent adds an isolated pod that sends packets immediately. While these packets are held,
// it calls the function in the `meanwhile` parameter. Then it publishes a tree that contains the
// pod, and checks the verdicts for the packets.
func (s *fixture) lateAgent(results cniResults, name string, meanwhile func()) {
	s.t.Helper()
	pod, err := s.nodes["one"].AddPod("lab/" + name)
	s.must(err)
	results.add("lab/"+name, pod)
	type attempt struct {
		what string
		got  lab.Result
	}
	done := make(chan attempt, 8)
	attempts := 0
	for _, like := range families {
		for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP} {
			for _, host := range []string{"shop/db", "lab/probe"} {
				attempts++
				to := netip.AddrPortFrom(s.address(host, like), 7)
				s.serverAt(s.host(host), protocol, to)
				go func() {
					got, err := pod.Probe(s.t.Context(), protocol, netip.Addr{}, to, 20*time.Second)
					if err != nil {
						s.t.Error(err)
					}
					done <- attempt{host, got}
				}()
			}
		}
	}
	eventually.True(s.t, "the packets of the new pod are held", func() bool {
		return s.plane.status().Held.Waiting >= attempts
	})
	meanwhile()
	before := s.plane.status().Held
	if before.Waiting < attempts || len(done) > 0 {
		s.t.Errorf("%s: %d of the new pod's connections were decided before the tree contained it: %+v", name, len(done), before)
	}
	object := stage.Objects(s.t, `- {pod: lab/late, labels: {app: late}}`).Pods[0]
	object.Name = name
	read, faults := policy.ReadPod(object)
	if len(faults) > 0 {
		s.t.Fatal(faults)
	}
	read.Addresses = pod.Addresses()
	s.snapshot.UpsertPod(read)
	s.enforce()
	for range attempts {
		want := lab.Connected
		a := <-done
		if a.what == "lab/probe" {
			want = lab.Rejected
		}
		if a.got != want {
			s.t.Errorf("%s, to %s: %s, want %s", name, a.what, a.got, want)
		}
	}
	if held := s.plane.status().Held; held.TimedOut > before.TimedOut || held.Released < before.Released+uint64(attempts) {
		s.t.Errorf("%s: %+v", name, held)
	}
}
