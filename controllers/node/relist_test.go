package node_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/sluicenet/sluice/controllers/node"
	"github.com/sluicenet/sluice/test/eventually"
)

// The type `lists` simulates an API server that returns the given lists one after the other. Each
// watch fails with "resource expired", except the last watch, which stays open without events.
type lists struct {
	all  []*corev1.PodList
	next atomic.Int32
	// The test closes this channel to make the server return the second list.
	again chan struct{}
}

func (l *lists) list(context.Context, metav1.ListOptions) (runtime.Object, error) {
	return l.all[l.next.Add(1)-1], nil
}

func (l *lists) watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if o.SendInitialEvents != nil {
		return nil, apierrors.NewMethodNotSupported(corev1.Resource("pods"), "list by watch")
	}
	w := watch.NewRaceFreeFake()
	if int(l.next.Load()) < len(l.all) {
		select {
		case <-l.again:
		case <-ctx.Done():
		}
		gone := apierrors.NewResourceExpired("too old").ErrStatus
		gone.Code = http.StatusGone
		w.Error(&gone)
	}
	return w, nil
}

func listOf(version string, versions ...string) *corev1.PodList {
	out := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: version}}
	for i, v := range versions {
		name := string(rune('a' + i))
		out.Items = append(out.Items, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: name, ResourceVersion: v}})
	}
	return out
}

// steppedQueue is a queue whose method Add sends the request to the channel `queued`, and then
// waits until the test sends a value to the channel `goOn`.
type steppedQueue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	queued chan reconcile.Request
	goOn   chan struct{}
}

// Add sends the request to the channel `queued` and waits for a value from the channel `goOn`.
func (q steppedQueue) Add(request reconcile.Request) {
	q.queued <- request
	<-q.goOn
}

// watchPods returns the event source for the pods of the simulated API server `script`. It
// waits until the informer has delivered the first list.
func watchPods(t *testing.T, script *lists, queue steppedQueue) *node.Changes {
	t.Helper()
	informer := cache.NewSharedIndexInformer(
		&cache.ListWatch{ListWithContextFunc: script.list, WatchFuncWithContext: script.watch},
		&corev1.Pod{}, 0, cache.Indexers{},
	)
	c, err := node.NewPodChanges(informer)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	if err := c.Start(ctx, queue); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { informer.RunWithContext(ctx); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	select {
	case <-c.Delivered():
	case <-time.After(time.Minute):
		t.Fatal("the first list was not delivered within a minute")
	}
	return c
}

// TestContainedDuringRelist checks that Contained returns a version only if the reconciler has
// taken the events of all versions up to this one. A list is sorted by object name. Therefore,
// the event with the newest version, 9, comes first in this test.
func TestContainedDuringRelist(t *testing.T) {
	script := &lists{all: []*corev1.PodList{listOf("3", "1", "2", "3"), listOf("11", "9", "2", "5")}, again: make(chan struct{})}
	// Objects of the first list are not queued, so the test need not send a value to the channel
	// `goOn` for them.
	queue := steppedQueue{queued: make(chan reconcile.Request), goOn: make(chan struct{})}
	c := watchPods(t, script, queue)
	if got := c.Contained(); got != 3 {
		t.Fatalf("contained %d after the first list, want 3", got)
	}
	close(script.again)
	for _, want := range []struct {
		name string
		// The fields `untaken` and `taken` are the expected results of Contained before and after
		// the test takes the event of the object.
		untaken, taken uint64
	}{{"a", 4, 4}, {"c", 4, 9}} {
		request := <-queue.queued
		if request.Name != want.name {
			t.Fatalf("queued %s, want %s", request.Name, want.name)
		}
		if got := c.Contained(); got != want.untaken {
			t.Errorf("contained %d while %s waits, want %d", got, want.name, want.untaken)
		}
		c.Take(request.NamespacedName)
		if got := c.Contained(); got != want.taken {
			t.Errorf("contained %d when %s is taken, want %d", got, want.name, want.taken)
		}
		queue.goOn <- struct{}{}
	}
}

// TestContainedDuringRelistAfterEmptyList is a variant of TestContainedDuringRelist in
// which the first list is empty.
func TestContainedDuringRelistAfterEmptyList(t *testing.T) {
	script := &lists{all: []*corev1.PodList{listOf("3"), listOf("11", "9", "5")}, again: make(chan struct{})}
	queue := steppedQueue{queued: make(chan reconcile.Request), goOn: make(chan struct{})}
	c := watchPods(t, script, queue)
	close(script.again)
	for _, want := range []uint64{4, 9} {
		request := <-queue.queued
		c.Take(request.NamespacedName)
		if got := c.Contained(); got != want {
			t.Errorf("contained %d when %s is taken, want %d", got, request.Name, want)
		}
		queue.goOn <- struct{}{}
	}
}

// TestContainedAfterRestore checks Contained after the API server's store was restored from a
// backup. After the restore, new objects have lower versions than the objects before it. The
// contained version must therefore become lower, too.
func TestContainedAfterRestore(t *testing.T) {
	script := &lists{all: []*corev1.PodList{listOf("900", "700", "800"), listOf("500", "400", "450")}, again: make(chan struct{})}
	queue := steppedQueue{queued: make(chan reconcile.Request), goOn: make(chan struct{})}
	c := watchPods(t, script, queue)
	if got := c.AtMostLast(c.Contained()); got != 800 {
		t.Fatalf("contained %d after the first list, want 800", got)
	}
	close(script.again)
	for range 2 {
		request := <-queue.queued
		c.Take(request.NamespacedName)
		queue.goOn <- struct{}{}
	}
	eventually.NoError(t, func() error {
		if got := c.AtMostLast(c.Contained()); got > 500 {
			return fmt.Errorf("contained %d after a list of version 500, want no more", got)
		}
		return nil
	})
}
