// Package fullspec provides the spec of an Enforcer for tests.
package fullspec

import (
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// Spec returns a spec in which every field differs from the default.
func Spec() v1alpha1.EnforcerSpec {
	return v1alpha1.EnforcerSpec{
		Image:         "registry.example/mirror/sluice:v1",
		FailurePolicy: v1alpha1.FailOpen,
		DenyAction:    v1alpha1.DenyReject,
		Queues:        v1alpha1.Queues{Base: ptr.To[int32](100), Count: ptr.To[int32](4)},
		MarkMask:      "0x30000",
		NodeSelector:  map[string]string{"pool": "edge"},
		Tolerations:   []v1alpha1.Toleration{{Key: "gpu", Operator: v1alpha1.TolerationEqual, Value: "a", Effect: v1alpha1.TaintNoSchedule}},
		Agent: &v1alpha1.Container{Resources: v1alpha1.Resources{
			Limits: v1alpha1.ResourceList{"memory": resource.MustParse("256Mi")},
		}},
		Dataplane: &v1alpha1.Container{Resources: v1alpha1.Resources{
			Requests: v1alpha1.ResourceList{"cpu": resource.MustParse("300m")},
		}},
		Endpoint:       v1alpha1.Endpoint{Mode: v1alpha1.EndpointLocalhost, Port: ptr.To[int32](19640)},
		DenialLog:      v1alpha1.DenialLog{LinesPerSecond: ptr.To[int32](0)},
		Log:            v1alpha1.Log{Level: v1alpha1.LogDebug, Format: v1alpha1.LogText},
		CNIResults:     ptr.To("/var/lib/other-cni/results"),
		StartupTaint:   true,
		PodRanges:      []string{"172.20.0.0/14", "fd00:20::/48"},
		FreeAfter:      &metav1.Duration{Duration: 90 * time.Second},
		Hold:           &metav1.Duration{Duration: 1500 * time.Millisecond},
		UpdateStrategy: v1alpha1.UpdateStrategy{Type: v1alpha1.UpdateInPlace, MaxUnavailable: ptr.To(intstr.FromInt32(5))},

		ImagePullSecrets: []v1alpha1.SecretName{"registry-credentials"},
		APIServer:        &v1alpha1.APIServer{Host: "fd00::1", Port: 6443},
		SELinuxType:      "spc_t",
		Monitoring:       &v1alpha1.Monitoring{Labels: map[string]string{"release": "prometheus"}},
	}
}
