package standin

import (
	"encoding/json"
	"iter"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/watch"
)

type objectKey struct{ namespace, name string }

// store contains the objects of a resource that clients have created.
type store struct {
	writes atomic.Int64

	mu       sync.Mutex
	version  int64
	objects  map[objectKey]*unstructured.Unstructured
	watchers map[chan watch.Event]struct{}
}

func newStore() *store {
	return &store{version: 1, objects: map[objectKey]*unstructured.Unstructured{}, watchers: map[chan watch.Event]struct{}{}}
}

// all returns an iterator over the current objects.
func (s *store) all() iter.Seq[runtime.Object] {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]runtime.Object, 0, len(s.objects))
	for _, object := range s.objects {
		list = append(list, object)
	}
	return func(yield func(runtime.Object) bool) {
		for _, object := range list {
			if !yield(object) {
				return
			}
		}
	}
}

// backlog is the maximum number of events that wait for a slow watcher. When this number is
// reached, further writes block.
const backlog = 1000

// subscribe returns a channel that receives all later changes, and a function that ends the
// subscription. The caller must call this function.
func (s *store) subscribe() (<-chan watch.Event, func()) {
	events := make(chan watch.Event, backlog)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[events] = struct{}{}
	return events, func() {
		go func() {
			// Unblock writers until the channel is removed.
			for range events {
				continue
			}
		}()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, events)
		close(events)
	}
}

// serve serves a request for one object.
func (s *store) serve(w http.ResponseWriter, r *http.Request, key objectKey) {
	body := &unstructured.Unstructured{}
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		if err := json.NewDecoder(r.Body).Decode(&body.Object); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	if r.Method != http.MethodGet {
		s.writes.Add(1)
	}
	s.mu.Lock()
	code, object := s.change(r.Method, body, key)
	s.mu.Unlock()
	if object == nil {
		reply(w, code, &metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Reason: metav1.StatusReasonNotFound, Code: int32(code)})
		return
	}
	reply(w, code, object)
}

// change reads or changes one object. It returns the status code of the response and the object.
// If the object does not exist, the returned object is nil. The `object` parameter is the content
// of the request.
func (s *store) change(method string, object *unstructured.Unstructured, key objectKey) (int, *unstructured.Unstructured) {
	old := s.objects[key]
	switch method {
	case http.MethodPost:
		object.SetUID(uuid.NewUUID())
		object.SetGeneration(1)
		object.SetCreationTimestamp(metav1.Now())
		s.put(watch.Added, objectKey{object.GetNamespace(), object.GetName()}, object)
		return http.StatusCreated, object
	case http.MethodPut:
		if old == nil {
			return http.StatusNotFound, nil
		}
		s.put(watch.Modified, key, object)
		return http.StatusOK, object
	case http.MethodDelete:
		if old == nil {
			return http.StatusNotFound, nil
		}
		delete(s.objects, key)
		s.send(watch.Event{Type: watch.Deleted, Object: old})
	}
	if old == nil {
		return http.StatusNotFound, nil
	}
	return http.StatusOK, old
}

func (s *store) put(kind watch.EventType, key objectKey, object *unstructured.Unstructured) {
	s.version++
	object.SetResourceVersion(strconv.FormatInt(s.version, 10))
	s.objects[key] = object
	s.send(watch.Event{Type: kind, Object: object})
}

func (s *store) send(event watch.Event) {
	for watcher := range s.watchers {
		watcher <- event
	}
}
