package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Protect returns a handler that passes a request to the handler `next` if the token of the request
// is valid for one of the audiences, and the user of the token has the given right. See
// Authenticate for the meaning of the audiences.
func (r *Reviewer) Protect(right Right, next http.Handler, audiences ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		user, err := r.Authenticate(request, audiences...)
		if err == nil {
			err = r.Authorize(request.Context(), user, right)
		}
		if err != nil {
			WriteError(w, err)
			return
		}
		next.ServeHTTP(w, request)
	})
}

// ReadMetrics is the right to read metrics. Other exporters of Kubernetes require the same
// right, so Prometheus usually has it.
var ReadMetrics = Right{Verb: "get", Path: "/metrics"}

// MetricsFilter protects the metrics server of a manager of controller-runtime.
func (r *Reviewer) MetricsFilter(_ logr.Logger, handler http.Handler) (http.Handler, error) {
	return r.Protect(ReadMetrics, handler), nil
}

// WriteError writes an error as an object of kind Status, as the API server does. If the
// error has no code, the code of the response is 500.
func WriteError(w http.ResponseWriter, err error) {
	status := metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError, Message: err.Error()}
	var known apierrors.APIStatus
	if errors.As(err, &known) {
		status = known.Status()
	}
	status.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(int(status.Code))
	_ = json.NewEncoder(w).Encode(status) // An error means that the client is gone.
}

// forbidden returns an error that names the user and the missing right.
func forbidden(user *User, right Right) error {
	text := fmt.Sprintf("user %q needs the right to %s %s", user.Username, right.Verb, right.Path)
	if right.Path == "" {
		text += fmt.Sprintf("%s %q of the API group %q", right.Resource, right.Name, right.Group)
	}
	err := apierrors.NewForbidden(schema.GroupResource{Group: right.Group, Resource: right.Resource}, right.Name, nil)
	err.ErrStatus.Message = "forbidden: " + text
	return err
}

// unavailable returns an error for a review to which the API server did not reply.
func unavailable(action string, err error) error {
	return apierrors.NewServiceUnavailable(fmt.Sprintf("%s: %v", action, err))
}
