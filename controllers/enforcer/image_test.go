package enforcer_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/config/rbac"
	"github.com/sluicenet/sluice/controllers/enforcer/image"
)

// TestDefaultImage checks that the operator's role allows the operator to read the image of its
// own pod.
func TestDefaultImage(t *testing.T) {
	f := newFixture(t)
	installRoles(t)
	for name, containers := range map[string][]corev1.Container{
		"its-own": {{Name: "sidecar", Image: "other"}, {Name: "operator", Image: testImage}},
		"another": {{Name: "web", Image: "web"}},
	} {
		must(t, f.Create(t.Context(), &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: rbac.Namespace},
			Spec:       corev1.PodSpec{Containers: containers},
		}))
	}
	if got, err := image.Default(t.Context(), asOperator(), rbac.Namespace, "its-own"); err != nil || got != testImage {
		t.Errorf("got %q, %v, want %s", got, err, testImage)
	}
	for name, want := range map[string]string{"another": "no container operator", "gone": "not found"} {
		if _, err := image.Default(t.Context(), asOperator(), rbac.Namespace, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("pod %s: got error %v, want one with %q", name, err, want)
		}
	}
}
