// Package installation decides to which installation of Sluice an Enforcer belongs. Two
// operators in different namespaces would otherwise change the cluster-scoped objects of the
// Enforcer back and forth, and would run two pods on each node.
package installation

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// Owner returns the namespace of the installation that the Enforcer belongs to, or "" if no
// operator has claimed the Enforcer yet.
func Owner(enforcer *v1alpha1.Enforcer) string {
	return enforcer.Annotations[v1alpha1.AnnotationInstallation]
}

// Claim records in the Enforcer that it belongs to the installation in the given namespace. The
// caller must send the changed Enforcer to the API server with its resource version, so that only
// one of several operators succeeds.
func Claim(enforcer *v1alpha1.Enforcer, namespace string) {
	if enforcer.Annotations == nil {
		enforcer.Annotations = map[string]string{}
	}
	enforcer.Annotations[v1alpha1.AnnotationInstallation] = namespace
}

// Other returns the namespace of the installation that owns the Enforcer, unless this is the given
// namespace. It returns "" if the operator in the given namespace owns the Enforcer or may claim
// it. An operator may claim an Enforcer without an owner, and an Enforcer whose owner's namespace
// no longer exists.
func Other(ctx context.Context, reader client.Reader, enforcer *v1alpha1.Enforcer, namespace string) (string, error) {
	owner := Owner(enforcer)
	if owner == "" || owner == namespace {
		return "", nil
	}
	err := reader.Get(ctx, client.ObjectKey{Name: owner}, &corev1.Namespace{})
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("reading namespace %s of the installation that owns the Enforcer: %w", owner, err)
	}
	return owner, nil
}

// Active returns a function that reports whether the installation in a namespace may write
// statuses. It may write them unless another installation owns the Enforcer.
func Active(reader client.Reader, namespace string) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		enforcer := &v1alpha1.Enforcer{}
		err := reader.Get(ctx, types.NamespacedName{Name: v1alpha1.EnforcerName}, enforcer)
		switch {
		case apierrors.IsNotFound(err):
			return true, nil
		case err != nil:
			return false, fmt.Errorf("reading the Enforcer: %w", err)
		}
		other, err := Other(ctx, reader, enforcer, namespace)
		return other == "" && err == nil, err
	}
}
