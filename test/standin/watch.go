package standin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// watch streams all changes from now on. If the client requests the initial state, it first sends
// the current objects and a bookmark.
func (r *Resource) watch(w http.ResponseWriter, request *http.Request, held *store) {
	changes, end := held.subscribe()
	defer end()
	out, err := r.newStream(w, request)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotAcceptable)
		return
	}
	if request.URL.Query().Get("sendInitialEvents") == "true" {
		for object := range r.objects(held) {
			if out.send(watch.Added, object) != nil {
				return
			}
		}
		if out.send(watch.Bookmark, r.bookmark()) != nil {
			return
		}
	}
	out.flush()
	for {
		select {
		case <-request.Context().Done():
			return
		case change := <-changes:
			if out.send(change.Type, change.Object) != nil {
				return
			}
			out.flush()
		}
	}
}

// bookmark returns the object that marks the end of the initial objects.
func (r *Resource) bookmark() runtime.Object {
	out, err := scheme.New(r.GroupVersion().WithKind(r.Kind))
	if err != nil {
		out = &unstructured.Unstructured{Object: map[string]any{"apiVersion": r.GroupVersion().String(), "kind": r.Kind}}
	}
	object := out.(metav1.Object)
	object.SetResourceVersion("1")
	object.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	return out
}

// stream encodes the events of a watch.
type stream struct {
	frames io.Writer
	flush  func()
	// `object` encodes the objects, and `event` encodes the events that contain the encoded
	// objects.
	object, event runtime.Encoder
}

func (r *Resource) newStream(w http.ResponseWriter, request *http.Request) (*stream, error) {
	mediaType := runtime.ContentTypeJSON
	if strings.Contains(request.Header.Get("Accept"), runtime.ContentTypeProtobuf) {
		mediaType = runtime.ContentTypeProtobuf
	}
	info, ok := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), mediaType)
	if !ok {
		return nil, errors.New("no serializer for " + mediaType)
	}
	w.Header().Set("Content-Type", mediaType+";stream=watch")
	w.WriteHeader(http.StatusOK)
	flush := func() { _ = http.NewResponseController(w).Flush() }
	return &stream{
		frames: info.StreamSerializer.Framer.NewFrameWriter(w), flush: flush,
		object: codecs.EncoderForVersion(info.Serializer, r.GroupVersion()),
		event:  codecs.EncoderForVersion(info.StreamSerializer.Serializer, corev1.SchemeGroupVersion),
	}, nil
}

// send sends one event. It returns an error if the client has gone, or if the object cannot be
// encoded. The client then lists the objects again.
func (s *stream) send(kind watch.EventType, object runtime.Object) error {
	var raw, frame bytes.Buffer
	if err := s.object.Encode(object, &raw); err != nil {
		return fmt.Errorf("encoding %T: %w", object, err)
	}
	event := &metav1.WatchEvent{Type: string(kind), Object: runtime.RawExtension{Raw: raw.Bytes()}}
	if err := s.event.Encode(event, &frame); err != nil {
		return fmt.Errorf("encoding an event: %w", err)
	}
	_, err := s.frames.Write(frame.Bytes())
	return err
}
