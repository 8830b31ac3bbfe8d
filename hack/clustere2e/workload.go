package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// namespace is the namespace of the test's workloads.
const namespace = "sluice-e2e"

// workload contains a server with a Service and two clients.
const workload = `apiVersion: v1
kind: Namespace
metadata: {name: sluice-e2e}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: sluice-e2e}
spec:
  replicas: 2
  selector: {matchLabels: {app: server}}
  template:
    metadata: {labels: {app: server}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: server
          image: AGNHOST
          imagePullPolicy: IfNotPresent
          command: [/agnhost, porter]
          env:
            - {name: SERVE_PORT_80, value: ok}
            - {name: SERVE_PORT_81, value: ok}
            - {name: SERVE_UDP_PORT_82, value: ok}
          ports: [{name: web, containerPort: 80}]
          readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
          livenessProbe: {httpGet: {path: /, port: 81}, periodSeconds: 1}
          # Without this probe, the liveness probe can restart a container that starts slowly.
          startupProbe: {httpGet: {path: /, port: 81}, periodSeconds: 1, failureThreshold: 60}
---
apiVersion: v1
kind: Service
metadata: {name: server, namespace: sluice-e2e}
spec:
  selector: {app: server}
  ports:
    - {name: web, port: 8080, targetPort: web}
    - {name: other, port: 8081, targetPort: 81}
    - {name: udp, port: 8082, targetPort: 82, protocol: UDP}
`

const client = `---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: sluice-e2e}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: client, image: AGNHOST, imagePullPolicy: IfNotPresent, command: [/agnhost, pause]}]
`

// The constant `policies` contains policies that isolate all pods. Only one client is allowed to
// connect to the server, and only to one port.
const policies = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny, namespace: sluice-e2e}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: to-server, namespace: sluice-e2e}
spec:
  podSelector: {matchLabels: {app: client}}
  policyTypes: [Egress]
  egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: from-client, namespace: sluice-e2e}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: web}]}]
`

func (c *cluster) deploy(ctx context.Context) error {
	text := workload + strings.ReplaceAll(client, "NAME", "client") + strings.ReplaceAll(client, "NAME", "other")
	if _, err := c.kubectl(ctx, strings.ReplaceAll(text, "AGNHOST", c.agnhost), "apply", "-f", "-"); err != nil {
		return err
	}
	for _, name := range []string{"server", "client", "other"} {
		if _, err := c.kubectl(ctx, "", "-n", namespace, "rollout", "status", "deployment/"+name, "--timeout=3m"); err != nil {
			return err
		}
	}
	return nil
}

// target is an address and a port to which clients connect, and the protocol.
type target struct{ at, protocol string }

// targets returns one target for each port of the Service, and one target with the address of a
// server pod. The policies of the server pods apply to connections to all targets.
func (c *cluster) targets(ctx context.Context) (web, other, udp, pod target, err error) {
	var service corev1.Service
	err = c.read(ctx, &service, "-n", namespace, "service", "server")
	var pods corev1.PodList
	err = errors.Join(err, c.read(ctx, &pods, "-n", namespace, "pods", "-l", "app=server"))
	if err != nil {
		return
	}
	if len(pods.Items) == 0 {
		err = errors.New("there is no server pod")
		return
	}
	ip := service.Spec.ClusterIP
	if strings.Contains(ip, ":") {
		ip = "[" + ip + "]"
	}
	podIP := pods.Items[0].Status.PodIP
	if strings.Contains(podIP, ":") {
		podIP = "[" + podIP + "]"
	}
	return target{ip + ":8080", "tcp"}, target{ip + ":8081", "tcp"}, target{ip + ":8082", "udp"}, target{podIP + ":80", "tcp"}, nil
}

// connect makes a client connect once to a target, with a timeout of 2 s.
func (c *cluster) connect(ctx context.Context, from string, to target) error {
	_, err := c.kubectl(ctx, "", "-n", namespace, "exec", "deployment/"+from, "--",
		"/agnhost", "connect", to.at, "--timeout=2s", "--protocol="+to.protocol)
	return err
}

// connectionReset is the text that `agnhost connect` prints if it receives a TCP reset.
const connectionReset = "REFUSED"

// The method `denied` returns an error if a client can connect to a target.
func (c *cluster) denied(ctx context.Context, from string, to target) error {
	err := c.connect(ctx, from, to)
	switch {
	case err == nil:
		return fmt.Errorf("%s connected to %s by %s", from, to.at, to.protocol)
	case strings.Contains(err.Error(), "TIMEOUT"), strings.Contains(err.Error(), connectionReset),
		// agnhost prints this after an ICMP error.
		strings.Contains(err.Error(), "no route to host"):
		return nil
	}
	return fmt.Errorf("connecting to %s from %s: %w", to.at, from, err)
}

// The method `reachable` waits until every client can connect to every target.
func (c *cluster) reachable(ctx context.Context) error {
	web, other, udp, pod, err := c.targets(ctx)
	if err != nil {
		return err
	}
	for _, from := range []string{"client", "other"} {
		for _, to := range []target{web, other, udp, pod} {
			if err := until(ctx, func(ctx context.Context) error { return c.connect(ctx, from, to) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *cluster) isolate(ctx context.Context) error {
	if _, err := c.kubectl(ctx, policies, "apply", "-f", "-"); err != nil {
		return err
	}
	if err := c.policiesEnforced(ctx, true); err != nil {
		return err
	}
	return c.verdicts(ctx)
}

// policiesEnforced waits until the condition Enforced of each policy has the given status.
func (c *cluster) policiesEnforced(ctx context.Context, enforced bool) error {
	for _, name := range []string{"default-deny", "to-server", "from-client"} {
		// Repeat the command, because it fails while the PolicyStatus object does not exist.
		if err := until(ctx, func(ctx context.Context) error {
			_, err := c.kubectl(ctx, "", "-n", namespace, "wait", "policystatus/"+name,
				fmt.Sprintf("--for=condition=Enforced=%t", enforced), "--timeout=10s")
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// verdicts opens each connection once and compares the result with the verdict of the policies. It
// must be called after the policies are enforced, so it does not retry.
func (c *cluster) verdicts(ctx context.Context) error {
	web, other, udp, pod, err := c.targets(ctx)
	if err != nil {
		return err
	}
	return errors.Join(
		c.connect(ctx, "client", web), c.connect(ctx, "client", pod),
		c.denied(ctx, "client", other), c.denied(ctx, "client", udp),
		c.denied(ctx, "other", web), c.denied(ctx, "other", pod),
	)
}

// probesSucceed checks that the kubelet's probes of the server pods succeed for ten probe
// periods.
func (c *cluster) probesSucceed(ctx context.Context) error {
	for range 10 {
		var pods corev1.PodList
		if err := c.read(ctx, &pods, "-n", namespace, "pods", "-l", "app=server"); err != nil {
			return err
		}
		for _, pod := range pods.Items {
			for _, s := range pod.Status.ContainerStatuses {
				if !s.Ready || s.RestartCount > 0 {
					return fmt.Errorf("pod %s: ready %t, %d restarts", pod.Name, s.Ready, s.RestartCount)
				}
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
	return nil
}

// The method `rejected` returns an error unless a denied client receives a TCP reset. The client
// connects to the address of a pod, because a reset for a connection to a Service can get lost: on
// a bridge with br_netfilter, such a reset has the source address of the pod, and the client
// ignores it.
func (c *cluster) rejected(ctx context.Context) error {
	_, _, _, pod, err := c.targets(ctx)
	if err != nil {
		return err
	}
	if err := c.connect(ctx, "other", pod); err == nil || !strings.Contains(err.Error(), connectionReset) {
		return fmt.Errorf("with denyAction %s the result of a client is %w, want a reset", v1alpha1.DenyReject, err)
	}
	return nil
}

// The method `watched` calls the function `do`. Until this call returns, it repeatedly opens
// connections. It returns an error if a denied connection succeeds. Allowed connections can be
// delayed while a node runs no dataplane, so the method only prints the longest delay.
func (c *cluster) watched(ctx context.Context, do func(context.Context) error) error {
	web, other, _, pod, err := c.targets(ctx)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	var longest time.Duration
	reached := time.Now()
	for rounds := 1; ; rounds++ {
		err := errors.Join(c.denied(ctx, "client", other), c.denied(ctx, "other", web), c.denied(ctx, "other", pod))
		if err != nil {
			return errors.Join(err, <-done)
		}
		for began := time.Now(); c.connect(ctx, "client", web) != nil; {
			longest = max(longest, time.Since(began))
			if ctx.Err() != nil {
				return errors.Join(fmt.Errorf("the client cannot connect to %s; the last connection was %s ago", web.at, time.Since(reached)), <-done)
			}
		}
		reached = time.Now()
		select {
		case err := <-done:
			fmt.Printf("      %d rounds of verdicts; a new connection waited at most %.0f s\n", rounds, longest.Seconds())
			return errors.Join(err, c.verdicts(ctx))
		default:
		}
	}
}
