package policystatus

import (
	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/reduce"
)

// compactStatus prepares a PolicyStatus for the cache. It removes the managed fields. The texts
// of most PolicyStatuses are the same, so it lets equal texts share memory.
func compactStatus(in *v1alpha1.PolicyStatus) *v1alpha1.PolicyStatus {
	in.ManagedFields = nil
	texts := []*string{&in.Namespace, &in.APIVersion, &in.Kind}
	for i := range in.OwnerReferences {
		texts = append(texts, &in.OwnerReferences[i].APIVersion, &in.OwnerReferences[i].Kind)
	}
	for i := range in.Status.Conditions {
		c := &in.Status.Conditions[i]
		texts = append(texts, &c.Type, (*string)(&c.Status), &c.Reason, &c.Message)
	}
	for i := range in.Status.Findings {
		f := &in.Status.Findings[i]
		texts = append(texts, (*string)(&f.Severity), &f.Check, &f.Field, &f.Message)
	}
	for _, text := range texts {
		*text = reduce.Interned(*text)
	}
	return in
}
