package labcluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/config/objects"
)

const (
	systemNamespace = "sluice-system"
	agentAccount    = "sluice-agent"
	// tokenSeconds is the lifetime of tokens. A lab never runs longer than this time.
	tokenSeconds = 7 * 24 * 60 * 60
)

// prepare creates the objects that must exist before nodes are added: the namespaces, the role of
// the agent, and the objects that raiseBarrier changes.
func (c *Cluster) prepare(ctx context.Context) error {
	for _, name := range []string{systemNamespace, barrierNamespace} {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if err := c.client.Create(ctx, namespace); err != nil {
			return err
		}
	}
	folder, err := projectFile("config", "rbac", "agent")
	if err != nil {
		return fmt.Errorf("finding the agent's role: %w", err)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := c.apply(ctx, file); err != nil {
			return fmt.Errorf("applying %s: %w", file, err)
		}
	}
	return c.makeBarrier(ctx)
}

// apply creates the objects in a file. It skips Kustomization objects, because the API server
// does not support them.
func (c *Cluster) apply(ctx context.Context, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	decoded, err := objects.Decode(content)
	if err != nil {
		return err
	}
	for _, object := range decoded {
		if object.GetKind() == "Kustomization" {
			continue
		}
		if err := client.IgnoreAlreadyExists(c.client.Create(ctx, object)); err != nil {
			return err
		}
	}
	return nil
}

// agentConfig returns the client configuration of the agent on a node. The configuration
// contains a token for the agent's service account. The token is bound to a pod on the node. A
// kubelet requests the same kind of token.
func (c *Cluster) agentConfig(ctx context.Context, node string) (*rest.Config, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: agentAccount}}
	if err := c.client.Get(ctx, client.ObjectKeyFromObject(account), account); err != nil {
		return nil, err
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: "sluice-" + node, Labels: map[string]string{"app.kubernetes.io/name": "sluice"}},
		Spec: corev1.PodSpec{
			NodeName: node, HostNetwork: true, ServiceAccountName: agentAccount,
			Containers: []corev1.Container{{Name: "agent", Image: "sluice"}, {Name: "dataplane", Image: "sluice"}},
		},
	}
	if err := c.client.Create(ctx, pod); err != nil {
		return nil, err
	}
	seconds := int64(tokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	if err := c.client.SubResource("token").Create(ctx, account, request); err != nil {
		return nil, fmt.Errorf("requesting a token: %w", err)
	}
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken = request.Status.Token
	return config, nil
}
