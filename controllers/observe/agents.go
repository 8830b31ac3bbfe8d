package observe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/controllers/certificate"
	"github.com/sluicenet/sluice/controllers/observe/door"
)

// +kubebuilder:rbac:groups="",resources=nodes,verbs=get
// +kubebuilder:rbac:groups=policy.sluice.dev,resources=nodeenforcers,verbs=get
// +kubebuilder:rbac:groups="",namespace=sluice-system,resources=serviceaccounts/token,resourceNames=sluice-observer,verbs=create

const (
	// observer is the service account whose tokens the agents receive. It may read the
	// flow events and the statuses of nodes, and nothing else.
	observer = "sluice-observer"
	// tokenSeconds is the lifetime of a token. It is the minimum that the API server permits. A
	// token is used for half of this time.
	tokenSeconds = 600
	// connectTimeout limits the time for connecting to an agent. responseTimeout limits the
	// time until the agent starts to respond.
	connectTimeout  = 5 * time.Second
	responseTimeout = 15 * time.Second
	// maxMessage is the maximum size of the message of an agent, in bytes.
	maxMessage = 512
)

// agents sends requests to the agents of nodes.
type agents struct {
	client    client.Client
	namespace string
	dial      func(ctx context.Context, network, address string) (net.Conn, error)

	mu sync.Mutex
	// tokens contains the newest token for each node.
	tokens map[string]token
}

// token is a token for one agent.
type token struct {
	text string
	// renew is the time after which a new token is requested.
	renew time.Time
}

// get requests a path from a node's agent and returns the body of the response. Each error is a
// Kubernetes Status.
func (a *agents) get(ctx context.Context, node, path string) (io.ReadCloser, error) {
	address, fingerprint, err := a.find(ctx, node)
	if err != nil {
		return nil, err
	}
	text, err := a.token(ctx, node)
	if err != nil {
		return nil, apierrors.NewServiceUnavailable(err.Error())
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+path, http.NoBody)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	request.Header.Set("Authorization", "Bearer "+text)
	transport := &http.Transport{
		DialContext: a.dial, TLSClientConfig: certificate.Pinned(fingerprint), TLSHandshakeTimeout: connectTimeout,
		ResponseHeaderTimeout: responseTimeout, DisableKeepAlives: true,
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("connecting to the agent of node %s: %v", node, err))
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer func() { _ = response.Body.Close() }()
	message, _ := io.ReadAll(io.LimitReader(response.Body, maxMessage))
	text = fmt.Sprintf("the agent of node %s responds %s: %s", node, response.Status, bytes.TrimSpace(message))
	if response.StatusCode == http.StatusTooManyRequests {
		return nil, apierrors.NewTooManyRequests(text, 1)
	}
	return nil, apierrors.NewServiceUnavailable(text)
}

// find returns the address of the agent of a node, and the fingerprint of its certificate.
func (a *agents) find(ctx context.Context, node string) (address, fingerprint string, err error) {
	var enforcer v1alpha1.NodeEnforcer
	if err := a.client.Get(ctx, client.ObjectKey{Name: node}, &enforcer); err != nil {
		return "", "", err
	}
	endpoint := enforcer.Status.Endpoint
	if endpoint == nil {
		return "", "", apierrors.NewServiceUnavailable(fmt.Sprintf(
			"the agent of node %s serves neither flow events nor its status: it is starting, or spec.endpoint.mode of the Enforcer is not Authenticated", node))
	}
	var object corev1.Node
	if err := a.client.Get(ctx, client.ObjectKey{Name: node}, &object); err != nil {
		return "", "", err
	}
	for _, candidate := range object.Status.Addresses {
		if candidate.Type == corev1.NodeInternalIP {
			return net.JoinHostPort(candidate.Address, strconv.Itoa(int(endpoint.Port))), endpoint.CertificateSHA256, nil
		}
	}
	return "", "", apierrors.NewServiceUnavailable(fmt.Sprintf("node %s has no address of type InternalIP", node))
}

// token returns a token that is valid only for the agent of a node.
func (a *agents) token(ctx context.Context, node string) (string, error) {
	a.mu.Lock()
	stored := a.tokens[node]
	a.mu.Unlock()
	if time.Now().Before(stored.renew) {
		return stored.text, nil
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: a.namespace, Name: observer}}
	seconds := int64(tokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{door.Audience(node)}, ExpirationSeconds: &seconds,
	}}
	if err := a.client.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("requesting a token for the agent of node %s: %w", node, err)
	}
	next := token{request.Status.Token, time.Now().Add(tokenSeconds * time.Second / 2)}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, other := range a.tokens {
		if time.Now().After(other.renew) {
			delete(a.tokens, name)
		}
	}
	a.tokens[node] = next
	return next.text, nil
}
