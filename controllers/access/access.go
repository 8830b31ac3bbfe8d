// Package access protects HTTP servers. The API server identifies the user of a bearer token
// with a TokenReview, and decides with a SubjectAccessReview whether the user may send the
// request.
//
// The filters of controller-runtime do the same for metrics. They depend on k8s.io/apiserver,
// which doubles the size of the program and adds gRPC to the agent of every node.
package access

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

const (
	// reviewsPerSecond and reviewsAtOnce limit the requests to the API server, so that a
	// client with invalid tokens cannot overload the API server.
	reviewsPerSecond = 10
	reviewsAtOnce    = 50
	// reviewTimeout limits the duration of one review.
	reviewTimeout = 10 * time.Second
	// reviewTTL is the time for which the stored result of a review is reused. A revoked token or
	// right therefore remains usable for up to this time.
	reviewTTL = 10 * time.Second
	// maxReviews is the maximum number of stored results of each kind.
	maxReviews = 1024
)

// Reviewer identifies users and checks their rights. Its methods may be called concurrently.
type Reviewer struct {
	client client.Client
	users  *cache.LRUExpireCache
	rights *cache.LRUExpireCache
}

// NewReviewer returns a reviewer that sends its reviews to the API server with the given client
// configuration. The user of this configuration needs the right to create TokenReviews and
// SubjectAccessReviews.
func NewReviewer(config *rest.Config) (*Reviewer, error) {
	scheme := runtime.NewScheme()
	mapper := meta.NewDefaultRESTMapper(nil)
	for kind, add := range map[schema.GroupVersionKind]func(*runtime.Scheme) error{
		authenticationv1.SchemeGroupVersion.WithKind("TokenReview"):        authenticationv1.AddToScheme,
		authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"): authorizationv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("registering %s: %w", kind.Kind, err)
		}
		mapper.Add(kind, meta.RESTScopeRoot)
	}
	config = rest.CopyConfig(config)
	config.QPS, config.Burst, config.Timeout = reviewsPerSecond, reviewsAtOnce, reviewTimeout
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("creating a client for reviews: %w", err)
	}
	return &Reviewer{client: c, users: cache.NewLRUExpireCache(maxReviews), rights: cache.NewLRUExpireCache(maxReviews)}, nil
}

// User is the user who sent a request.
type User = authenticationv1.UserInfo

// Authenticate returns the user of the bearer token of a request. The token must be valid for
// at least one of the audiences, or for the API server if there are no audiences. If there is
// no valid token, Authenticate returns an error for which apierrors.IsUnauthorized returns true.
func (r *Reviewer) Authenticate(request *http.Request, audiences ...string) (*User, error) {
	scheme, token, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, apierrors.NewUnauthorized("the request contains no bearer token")
	}
	key := sha256.Sum256([]byte(strings.Join(append(slices.Clone(audiences), token), "\x00")))
	if user, ok := r.users.Get(key); ok {
		return validUser(user.(*User))
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}}
	if err := r.client.Create(request.Context(), review); err != nil {
		return nil, unavailable("reviewing the token", err)
	}
	user := &review.Status.User
	if !review.Status.Authenticated || len(audiences) > 0 && !intersect(audiences, review.Status.Audiences) {
		user = nil
	}
	r.users.Add(key, user, reviewTTL)
	return validUser(user)
}

func validUser(user *User) (*User, error) {
	if user == nil {
		return nil, apierrors.NewUnauthorized("the bearer token is not valid here")
	}
	return user, nil
}

func intersect(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// Right is the right that a request needs: either a verb on a resource with a name, or a verb
// on a path.
type Right struct {
	Verb, Group, Resource, Name string
	// Path is the path of a request without a resource. If it is set, the fields Group,
	// Resource and Name are empty.
	Path string
}

// Authorize returns nil if the user has the right. If the user does not have it, Authorize returns
// an error that names the right. For this error, apierrors.IsForbidden returns true.
func (r *Reviewer) Authorize(ctx context.Context, user *User, right Right) error {
	key := fmt.Sprintf("%q %q %q %q %q", user.Username, user.UID, user.Groups, user.Extra, right)
	allowed, ok := r.rights.Get(key)
	if !ok {
		review := &authorizationv1.SubjectAccessReview{Spec: specOf(user, right)}
		if err := r.client.Create(ctx, review); err != nil {
			return unavailable("reviewing the rights of the user", err)
		}
		allowed = review.Status.Allowed
		r.rights.Add(key, allowed, reviewTTL)
	}
	if !allowed.(bool) {
		return forbidden(user, right)
	}
	return nil
}

func specOf(user *User, right Right) authorizationv1.SubjectAccessReviewSpec {
	spec := authorizationv1.SubjectAccessReviewSpec{User: user.Username, UID: user.UID, Groups: user.Groups}
	for name, values := range user.Extra {
		if spec.Extra == nil {
			spec.Extra = map[string]authorizationv1.ExtraValue{}
		}
		spec.Extra[name] = authorizationv1.ExtraValue(values)
	}
	if right.Path != "" {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Verb: right.Verb, Path: right.Path}
	} else {
		spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
			Verb: right.Verb, Group: right.Group, Version: "*", Resource: right.Resource, Name: right.Name,
		}
	}
	return spec
}
