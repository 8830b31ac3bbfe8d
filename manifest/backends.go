package manifest

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/policy/service"
)

// The types in this file define only those fields of Services, EndpointSlices, Endpoints and
// workloads that this package reads.

type serviceObject struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metadata `json:"metadata"`
	Spec     struct {
		Type         corev1.ServiceType   `json:"type"`
		ClusterIP    string               `json:"clusterIP"`
		ClusterIPs   []string             `json:"clusterIPs"`
		ExternalIPs  []string             `json:"externalIPs"`
		ExternalName string               `json:"externalName"`
		Selector     map[string]string    `json:"selector"`
		Ports        []corev1.ServicePort `json:"ports"`
	} `json:"spec"`
	Status struct {
		LoadBalancer struct {
			Ingress []corev1.LoadBalancerIngress `json:"ingress"`
		} `json:"loadBalancer"`
	} `json:"status"`
}

type endpointsObject struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metadata                `json:"metadata"`
	Subsets  []corev1.EndpointSubset `json:"subsets"` //nolint:staticcheck // Clusters and dumps still contain Endpoints.
}

type sliceObject struct {
	metav1.TypeMeta `json:",inline"`

	Metadata    metadata                   `json:"metadata"`
	AddressType discoveryv1.AddressType    `json:"addressType"`
	Endpoints   []discoveryv1.Endpoint     `json:"endpoints"`
	Ports       []discoveryv1.EndpointPort `json:"ports"`
}

// workloadObject contains the fields of all kinds of workloads. Only a CronJob has a jobTemplate.
type workloadObject struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metadata `json:"metadata"`
	Spec     struct {
		Template    podTemplate `json:"template"`
		JobTemplate struct {
			Spec struct {
				Template podTemplate `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`
	Status struct {
		CompletionTime string `json:"completionTime"`
		Conditions     []struct {
			Type   string                 `json:"type"`
			Status corev1.ConditionStatus `json:"status"`
		} `json:"conditions"`
	} `json:"status"`
}

type podTemplate struct {
	Metadata metadata `json:"metadata"`
	Spec     podSpec  `json:"spec"`
}

// service decodes a Service, an EndpointSlice or an Endpoints object.
func (d *decoder) service(raw []byte, root path, kind, name string, origin inventory.Origin) {
	out := backends{object: name, origin: origin}
	var meta metadata
	var errs policy.FieldErrors
	switch kind {
	case "Service":
		var o serviceObject
		if !d.decode(raw, root, name, &o, false) {
			return
		}
		meta = o.Metadata
		out.service, errs = service.Read(&corev1.Service{
			ObjectMeta: meta.objectMeta(),
			Spec: corev1.ServiceSpec{
				Type: o.Spec.Type, ClusterIP: o.Spec.ClusterIP, ClusterIPs: o.Spec.ClusterIPs, ExternalIPs: o.Spec.ExternalIPs,
				ExternalName: o.Spec.ExternalName, Selector: o.Spec.Selector, Ports: o.Spec.Ports,
			},
			Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: o.Status.LoadBalancer.Ingress}},
		})
	case "EndpointSlice":
		var o sliceObject
		if !d.decode(raw, root, name, &o, false) {
			return
		}
		meta = o.Metadata
		var slice *service.Slice
		slice, errs = service.ReadSlice(&discoveryv1.EndpointSlice{ObjectMeta: meta.objectMeta(), AddressType: o.AddressType, Endpoints: o.Endpoints, Ports: o.Ports})
		out.slices = append(out.slices, slice)
	default:
		var o endpointsObject
		if !d.decode(raw, root, name, &o, false) {
			return
		}
		meta = o.Metadata
		out.slices, errs = service.ReadEndpoints(&corev1.Endpoints{ObjectMeta: meta.objectMeta(), Subsets: o.Subsets}) //nolint:staticcheck // As above.
	}
	out.version = meta.version()
	if d.named(root, name, kind, meta.Name, meta.Namespace) && d.valid(root, name, errs) {
		d.out.services = append(d.out.services, out)
	}
}

// workload decodes an object with a pod template.
func (d *decoder) workload(raw []byte, root path, kind, name string, origin inventory.Origin) {
	var o workloadObject
	if !d.decode(raw, root, name, &o, false) {
		return
	}
	if o.Metadata.Name == "" && o.Metadata.GenerateName != "" {
		o.Metadata.Name = strings.TrimRight(o.Metadata.GenerateName, "-.")
	}
	if !d.named(root, name, kind, o.Metadata.Name, o.Metadata.Namespace) {
		return
	}
	template := &o.Spec.Template
	if kind == "CronJob" {
		template = &o.Spec.JobTemplate.Spec.Template
	}
	meta := o.Metadata.objectMeta()
	w, errs := inventory.ReadWorkload(kind, &meta, &corev1.PodTemplateSpec{ObjectMeta: template.Metadata.objectMeta(), Spec: template.Spec.spec()})
	if d.valid(root, name, errs) {
		w.Origin, w.Finished = origin, kind == "Job" && o.finished()
		d.out.workloads = append(d.out.workloads, versioned[inventory.Workload]{w, o.Metadata.version()})
	}
}

// The method `finished` reports whether the status is that of a Job that has finished.
func (o *workloadObject) finished() bool {
	for _, c := range o.Status.Conditions {
		if (c.Type == "Complete" || c.Type == "Failed") && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return o.Status.CompletionTime != ""
}
