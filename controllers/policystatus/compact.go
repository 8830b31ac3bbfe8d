package policystatus

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/reduce"
)

// compactStatus prepares a PolicyStatus for the cache.
func compactStatus(in *v1alpha1.PolicyStatus) *v1alpha1.PolicyStatus {
	compact(&in.TypeMeta, &in.ObjectMeta, &in.Status)
	return in
}

// compactClusterStatus prepares a ClusterPolicyStatus for the cache.
func compactClusterStatus(in *v1alpha1.ClusterPolicyStatus) *v1alpha1.ClusterPolicyStatus {
	compact(&in.TypeMeta, &in.ObjectMeta, &in.Status)
	return in
}

// compact removes the managed fields of a status object. The texts of most status objects are the
// same, so it lets equal texts share memory.
func compact(kind *metav1.TypeMeta, object *metav1.ObjectMeta, status *v1alpha1.EnforcementStatus) {
	object.ManagedFields = nil
	texts := []*string{&object.Namespace, &kind.APIVersion, &kind.Kind}
	for i := range object.OwnerReferences {
		texts = append(texts, &object.OwnerReferences[i].APIVersion, &object.OwnerReferences[i].Kind)
	}
	for i := range status.Conditions {
		c := &status.Conditions[i]
		texts = append(texts, &c.Type, (*string)(&c.Status), &c.Reason, &c.Message)
	}
	for i := range status.Findings {
		f := &status.Findings[i]
		texts = append(texts, (*string)(&f.Severity), &f.Check, &f.Field, &f.Message)
	}
	for _, text := range texts {
		*text = reduce.Interned(*text)
	}
}
