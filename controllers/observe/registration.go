package observe

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/certificate"
	"github.com/sluicenet/sluice/controllers/observe/door"
)

// +kubebuilder:rbac:groups=apiregistration.k8s.io,resources=apiservices,resourceNames=v1alpha1.observe.policy.sluice.dev,verbs=get;create;patch;delete
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=enforcers,verbs=get

const (
	// registerInterval is the time between two checks of the registration.
	registerInterval = 10 * time.Second
	// certificateLifetime is the lifetime of the certificate. A new one is created after half
	// of this time.
	certificateLifetime = 24 * time.Hour
	// maxCertificates is the maximum number of certificates in the registration.
	maxCertificates = 8
	// endTimeout limits the time for removing the registration when the operator ends.
	endTimeout = time.Second
)

var apiServiceKind = schema.GroupVersionKind{Group: "apiregistration.k8s.io", Version: "v1", Kind: "APIService"}

// registration maintains the APIService, so that the API server forwards requests to this
// operator. While an APIService exists whose server does not respond, namespaces cannot be
// deleted completely. The APIService therefore exists only while at least one operator runs
// and an Enforcer exists whose nodes serve authenticated requests.
//
// Several operators can run at the same time. Each of them has a self-signed certificate,
// and the APIService contains the certificates of all of them.
type registration struct {
	client             client.Client
	namespace, service string
	port               int64
	log                logr.Logger

	mu  sync.Mutex
	own *tls.Certificate
}

// certificate returns the certificate of this operator.
func (r *registration) certificate() (*tls.Certificate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.own == nil || time.Until(r.own.Leaf.NotAfter) < certificateLifetime/2 {
		own, err := certificate.New(certificateLifetime, r.service+"."+r.namespace+".svc")
		if err != nil {
			return nil, err
		}
		r.own = own
	}
	return r.own, nil
}

// run maintains the APIService until the context ends, and then removes the certificate of
// this operator from it.
func (r *registration) run(ctx context.Context) {
	tick := time.NewTicker(registerInterval)
	defer tick.Stop()
	failed := false
	for {
		err := r.reconcile(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			r.log.Error(err, "The API for observers cannot be registered, will retry")
		}
		failed = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			r.end(context.WithoutCancel(ctx))
			return
		}
	}
}

// end removes this operator from the registration.
func (r *registration) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, endTimeout)
	defer cancel()
	if err := r.update(ctx, false); err != nil {
		r.log.Error(err, "The registration of the API for observers cannot be removed")
	}
}

// reconcile registers the API, or removes the registration if the nodes serve no authenticated
// requests.
func (r *registration) reconcile(ctx context.Context) error {
	var enforcer v1alpha1.Enforcer
	err := r.client.Get(ctx, client.ObjectKey{Name: v1alpha1.EnforcerName}, &enforcer)
	switch {
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("reading the Enforcer: %w", err)
	case err != nil || enforcer.DeletionTimestamp != nil || enforcer.Spec.Endpoint.Mode != v1alpha1.EndpointAuthenticated:
		return client.IgnoreNotFound(r.client.Delete(ctx, newAPIService()))
	}
	return r.update(ctx, true)
}

// update adds this operator's certificate to the APIService if `serving` is true, and removes
// the certificate otherwise. If no certificate remains, update deletes the APIService.
func (r *registration) update(ctx context.Context, serving bool) error {
	own, err := r.certificate()
	if err != nil {
		return err
	}
	before := newAPIService()
	err = client.IgnoreNotFound(r.client.Get(ctx, client.ObjectKeyFromObject(before), before))
	if err != nil {
		return fmt.Errorf("reading the APIService: %w", err)
	}
	text, _, _ := unstructured.NestedString(before.Object, "spec", "caBundle")
	old, _ := base64.StdEncoding.DecodeString(text) // Another program wrote an invalid value.
	bundle := merge(old, own.Leaf, serving)
	switch {
	case len(bundle) == 0:
		return client.IgnoreNotFound(r.client.Delete(ctx, before))
	case bytes.Equal(old, bundle):
		return nil
	}
	after := newAPIService()
	// The resource version prevents two operators from overwriting each other's
	// certificates.
	after.SetResourceVersion(before.GetResourceVersion())
	after.SetLabels(map[string]string{"app.kubernetes.io/name": "sluice", "app.kubernetes.io/managed-by": fieldOwner})
	after.Object["spec"] = map[string]any{
		"group": door.Group, "version": door.Version, "groupPriorityMinimum": int64(100), "versionPriority": int64(100),
		"service":  map[string]any{"namespace": r.namespace, "name": r.service, "port": r.port},
		"caBundle": base64.StdEncoding.EncodeToString(bundle),
	}
	err = r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(after), client.FieldOwner(fieldOwner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying the APIService: %w", err)
	}
	return nil
}

// fieldOwner is the name of the operator as the manager of fields.
const fieldOwner = "sluice-operator"

func newAPIService() *unstructured.Unstructured {
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(apiServiceKind)
	out.SetName(door.Version + "." + door.Group)
	return out
}

// merge adds a certificate to a PEM bundle if `add` is true, and removes the certificate
// otherwise. The result contains only certificates that have not expired. The newest
// certificate comes last.
func merge(bundle []byte, own *x509.Certificate, add bool) []byte {
	var all []*x509.Certificate
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err == nil && !c.Equal(own) && time.Now().Before(c.NotAfter) {
			all = append(all, c)
		}
	}
	if add {
		all = append(all, own)
	}
	slices.SortStableFunc(all, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	var out bytes.Buffer
	for _, c := range all[max(0, len(all)-maxCertificates):] {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) // A buffer returns no error.
	}
	return out.Bytes()
}
