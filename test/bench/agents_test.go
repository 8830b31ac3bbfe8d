package bench_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/node"
	"github.com/sluicenet/sluice/dataplane/statedir"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/kube"
)

// These constants define the cluster of BenchmarkAgents.
const (
	podsPerAgent = 30
	// podChanges is the number of pods per second whose status changes.
	podChanges = 20
	// namespaces is the number of namespaces. Each one has one policy.
	namespaces = 10
)

// BenchmarkAgents measures the traffic between real agents and a real API server in three states:
// at rest, while the annotations of a policy change every second, and while 20 pods change per
// second. The figures B/s, sent-B/s and requests/s are averages per agent. The bytes are counted
// on the wire. The figure etcd-B/s is the number of bytes per second that etcd writes to its disk.
// The figure server-cores is the processor time of the kube-apiserver. docs/scale.md extrapolates
// these figures.
func BenchmarkAgents(b *testing.B) {
	s := newAgents(b, choose(50, 2))
	for _, phase := range []struct {
		name   string
		every  time.Duration
		change func(int) error
	}{
		{"rest", time.Hour, nil},
		{"touch=1/s", time.Second, s.touch},
		{fmt.Sprintf("pods=%d/s", podChanges), time.Second / podChanges, s.changePod},
	} {
		b.Run(phase.name, func(b *testing.B) { s.measure(b, phase.every, phase.change) })
	}
}

// agents are the agents of one cluster, in one process.
type agents struct {
	server  *kube.Server
	client  client.Client
	traffic []*traffic
	pods    []*corev1.Pod
}

// traffic counts the bytes and the requests of one agent.
type traffic struct{ received, sent, requests atomic.Int64 }

func newAgents(b *testing.B, count int) *agents {
	b.Helper()
	ctrllog.SetLogger(logr.Discard())
	s := &agents{server: startServer(b)}
	config := s.server.Config()
	config.QPS = -1
	s.client = s.server.ClientFor(b, config)
	s.create(b, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: rbac.Namespace}})
	for i := range namespaces {
		name := fmt.Sprintf("team-%d", i)
		s.create(b, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		s.create(b, &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "default-deny"},
			Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}},
		})
	}
	for i := range count {
		name := fmt.Sprintf("node-%d", i)
		s.create(b, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}})
		for j := range podsPerAgent {
			s.pods = append(s.pods, s.createPod(b, name, i*podsPerAgent+j))
		}
	}
	for i := range count {
		s.start(b, fmt.Sprintf("node-%d", i))
	}
	return s
}

func (s *agents) create(b *testing.B, object client.Object) {
	b.Helper()
	if err := s.client.Create(b.Context(), object); err != nil {
		b.Fatal(err)
	}
}

// createPod creates a pod with a typical amount of fields and sets its status.
func (s *agents) createPod(b *testing.B, node string, i int) *corev1.Pod {
	b.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: fmt.Sprintf("team-%d", i%namespaces), Name: fmt.Sprintf("web-5d4f8c7b9d-%05d", i),
			Labels:      map[string]string{"app.kubernetes.io/name": "web", "app.kubernetes.io/instance": "web", "pod-template-hash": "5d4f8c7b9d"},
			Annotations: map[string]string{"checksum/config": strings.Repeat("0123456789abcdef", 4)},
		},
		Spec: corev1.PodSpec{
			NodeName: node,
			Containers: []corev1.Container{{
				Name: "web", Image: "registry.example/team/web:v1.2.3",
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
				Env:   []corev1.EnvVar{{Name: "DATABASE_URL", Value: "postgres://db.team.svc:5432/web"}, {Name: "LOG_LEVEL", Value: "info"}},
				LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{
					TCPSocket: &corev1.TCPSocketAction{},
				}},
			}},
		},
	}
	pod.Spec.Containers[0].LivenessProbe.TCPSocket.Port.IntVal = 8080
	s.create(b, pod)
	setAddress(pod, i)
	if err := s.client.Status().Update(b.Context(), pod); err != nil {
		b.Fatal(err)
	}
	return pod
}

// setAddress sets the status of a running pod. The address of the pod is derived from a number.
func setAddress(pod *corev1.Pod, number int) {
	address := net.IPv4(10, byte(number>>16), byte(number>>8), byte(number)).String()
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: address, PodIPs: []corev1.PodIP{{IP: address}},
		HostIP: "192.0.2.1", HostIPs: []corev1.HostIP{{IP: "192.0.2.1"}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "web", Ready: true, Image: "registry.example/team/web:v1.2.3", ContainerID: "containerd://" + strings.Repeat("0123456789abcdef", 4)}},
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
	}
}

// start starts an agent and waits until it has published a tree.
func (s *agents) start(b *testing.B, name string) {
	b.Helper()
	counts, dir := &traffic{}, b.TempDir()
	s.traffic = append(s.traffic, counts)
	config := s.server.Config()
	config.Dial = counts.dial
	config.Wrap(counts.wrap)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- node.Run(ctx, config, node.Options{
			Node: name, Namespace: rbac.Namespace, StateDir: dir, MetricsAddress: "0", HealthAddress: "0",
			Log: logr.Discard(), Registry: prometheus.NewRegistry(),
		})
	}()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	eventually.NoError(b, func() error {
		_, err := os.Stat(statedir.Current(dir))
		return err
	})
}

func (t *traffic) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, network, address)
	return &countedConn{c, t}, err
}

func (t *traffic) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		t.requests.Add(1)
		return next.RoundTrip(request)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// countedConn counts the bytes of a connection.
type countedConn struct {
	net.Conn
	*traffic
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// touch changes an annotation of a policy.
func (s *agents) touch(i int) error {
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("team-%d", i%namespaces), Name: "default-deny"}}
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"touched":"%d"}}}`, i)
	return s.client.Patch(context.Background(), np, client.RawPatch(types.MergePatchType, patch))
}

// changePod assigns a new address to a pod, as after a restart of the pod.
func (s *agents) changePod(i int) error {
	pod := s.pods[i%len(s.pods)]
	setAddress(pod, len(s.pods)+i)
	return s.client.Status().Update(context.Background(), pod)
}

// measure measures the traffic for one minute and reports it. During this minute, it calls the
// function `change` once per interval `every`.
func (s *agents) measure(b *testing.B, every time.Duration, change func(int) error) {
	took := time.Duration(choose(60, 1)) * time.Second
	changes := 0
	for b.Loop() {
		before, began := s.usage(b), time.Now()
		tick := time.NewTicker(every)
		for time.Since(began) < took {
			select {
			case <-time.After(took - time.Since(began)):
			case <-tick.C:
				if err := change(changes); err != nil {
					b.Fatal(err)
				}
				changes++
			}
		}
		tick.Stop()
		s.usage(b).minus(before).report(b, time.Since(began), len(s.traffic))
	}
	b.ReportMetric(0, "ns/op")
}

// consumption contains counters of all agents together, and of the server.
type consumption struct{ received, sent, requests, etcd, server float64 }

func (s *agents) usage(b *testing.B) (u consumption) {
	b.Helper()
	for _, t := range s.traffic {
		u.received += float64(t.received.Load())
		u.sent += float64(t.sent.Load())
		u.requests += float64(t.requests.Load())
	}
	etcd, err := s.server.Process("etcd")
	if err != nil {
		b.Fatal(err)
	}
	u.etcd = written(b, etcd)
	server, err := s.server.Process("kube-apiserver")
	if err != nil {
		b.Fatal(err)
	}
	u.server = processorTime(b, server).Seconds()
	return u
}

func (u consumption) minus(o consumption) consumption {
	return consumption{u.received - o.received, u.sent - o.sent, u.requests - o.requests, u.etcd - o.etcd, u.server - o.server}
}

func (u consumption) report(b *testing.B, took time.Duration, agents int) {
	perAgent := 1 / took.Seconds() / float64(agents)
	b.ReportMetric(u.received*perAgent, "B/s")
	b.ReportMetric(u.sent*perAgent, "sent-B/s")
	b.ReportMetric(u.requests*perAgent, "requests/s")
	b.ReportMetric(u.etcd/took.Seconds(), "etcd-B/s")
	b.ReportMetric(u.server/took.Seconds(), "server-cores")
}

// The function `written` returns the number of bytes that a process has written to disks.
func written(b *testing.B, process int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", process))
	if err != nil {
		b.Fatal(err)
	}
	var n float64
	_, rest, found := strings.Cut(string(text), "\nwrite_bytes: ")
	if _, err := fmt.Sscan(rest, &n); !found || err != nil {
		b.Fatalf("%q contains no number of written bytes: %v", text, err)
	}
	return n
}
