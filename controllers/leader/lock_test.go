package leader_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/controllers/leader"
	"github.com/sluicenet/sluice/test/kube"
)

const lease = "sluice-operator"

var server *kube.Server

func TestMain(m *testing.M) { os.Exit(kube.Main(m, &server)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestHolder checks which holders of a Lease count as ended. The process under test runs in pod
// "new".
func TestHolder(t *testing.T) {
	c := server.Client(t)
	namespace := server.Namespace(t)
	for name, phase := range map[string]corev1.PodPhase{"new": corev1.PodRunning, "running": corev1.PodRunning, "pending": corev1.PodPending, "failed": corev1.PodFailed} {
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "operator", Image: "sluice"}}},
		}
		must(t, c.Create(t.Context(), pod))
		pod.Status.Phase = phase
		must(t, c.Status().Update(t.Context(), pod))
	}
	for holder, ended := range map[string]bool{
		"pod/deleted/1": true,
		"pod/failed/1":  true,
		"pod/new/1":     true, // a previous container of the same pod
		"pod/running/1": false,
		"pod/pending/1": false,
		"node-1_2":      false, // a process outside the cluster
	} {
		t.Run(strings.ReplaceAll(holder, "/", " "), func(t *testing.T) {
			createLease(t, c, namespace, holder)
			lock, err := leader.New(server.Config(), namespace, lease, "new")
			must(t, err)
			record, raw, err := lock.Get(t.Context())
			must(t, err)
			want := holder
			if ended {
				want = ""
			}
			if record.HolderIdentity != want || strings.Contains(string(raw), holder) == ended {
				t.Errorf("holder %q, record %s, want holder %q", record.HolderIdentity, raw, want)
			}
			if ended {
				elect(t, lock)
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestUnreadablePod checks that the lock returns the holder if its pod cannot be read, so that the
// process can take over the Lease when the Lease expires.
func TestUnreadablePod(t *testing.T) {
	namespace := server.Namespace(t)
	createLease(t, server.Client(t), namespace, "pod/other/1")
	config := rest.CopyConfig(server.Config())
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if strings.Contains(r.URL.Path, "/pods/") {
				return nil, errors.New("pods cannot be read")
			}
			return next.RoundTrip(r)
		})
	})
	lock, err := leader.New(config, namespace, lease, "new")
	must(t, err)
	record, _, err := lock.Get(t.Context())
	if err != nil || record.HolderIdentity != "pod/other/1" {
		t.Errorf("record %+v, error %v, want the holder", record, err)
	}
}

func createLease(t *testing.T, c client.Client, namespace, holder string) {
	t.Helper()
	now := metav1.NowMicro()
	l := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: lease},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: ptr.To[int32](3600), AcquireTime: &now, RenewTime: &now},
	}
	must(t, c.Create(t.Context(), l))
	t.Cleanup(func() { must(t, c.Delete(context.Background(), l)) })
}

// elect waits until a lock has been acquired. The Lease lasts for an hour, so that the test
// cannot succeed because it expires.
func elect(t *testing.T, lock resourcelock.Interface) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: time.Hour, RenewDeadline: time.Minute, RetryPeriod: 200 * time.Millisecond,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { cancel() },
			OnStoppedLeading: func() {},
		},
	})
	must(t, err)
	e.Run(ctx)
	record, _, err := lock.Get(t.Context())
	must(t, err)
	if record.HolderIdentity != lock.Identity() {
		t.Errorf("holder %q, want %q", record.HolderIdentity, lock.Identity())
	}
}
