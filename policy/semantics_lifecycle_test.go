package policy_test

import (
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/test/stage"
)

// sandbox returns a sandbox of a pod with the interface eth0.
func sandbox(pod *corev1.Pod, addresses ...string) policy.Sandbox {
	out := policy.Sandbox{Namespace: pod.Namespace, Name: pod.Name, UID: string(pod.UID), Interface: "eth0"}
	for _, a := range addresses {
		out.Addresses = append(out.Addresses, netip.MustParseAddr(a))
	}
	return out
}

// sandboxes sets the sandboxes of the node with the name one.
func (s *fixture) sandboxes(list ...policy.Sandbox) {
	s.sandboxed = true
	s.snapshot.SetSandboxes("one", list)
}

// The function `starting` returns a function that changes a pod into a starting pod. A starting
// pod has a UID but no address yet.
func starting(uid string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.UID = types.UID(uid)
		p.Status.Phase = corev1.PodPending
		stage.SetAddresses(p)
	}
}

const (
	unknown  = `10.9.0.1 -> shop/db TCP 5432 | External | NotIsolated`
	isolated = `
		10.9.0.1 -> shop/db  TCP 5432 | Denied by shop/web | NotIsolated
		fd09::1  -> shop/db  TCP 5432 | Denied by shop/web | NotIsolated
		shop/db  -> 10.9.0.1 TCP 8080 | NotIsolated        | Denied by shop/web
		2001:db8::8 -> fd09::1 TCP 8080 | External | Denied by shop/web
	`
	webDenied = `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress]}`
)

// As soon as the snapshot contains both a pod and its sandbox, the sandbox's address belongs to
// the pod. The address need not be in status.podIPs yet. The pod and the sandbox can be added in
// either order.
func aPodIsKnownByItsSandbox(t *testing.T) {
	web := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "w1"}}
	box := sandbox(web, "10.9.0.1", "fd09::1")
	pod := func(s *fixture) { s.edit("shop/web", starting("w1")) }
	known := func(s *fixture) { s.sandboxes(box) }
	for name, steps := range map[string][]func(*fixture){
		"the pod first":     {pod, known},
		"the sandbox first": {known, pod},
	} {
		s := newFixture(t, shop, stage.Policy(t, "shop/web", webDenied))
		s.sandboxed = true
		for _, step := range steps {
			t.Log(name)
			s.want(unknown)
			step(s)
		}
		s.want(isolated)
		// The labels can change before status.podIPs lists the address.
		s.edit("shop/web", func(p *corev1.Pod) { p.Labels["app"] = "other" })
		s.want(`10.9.0.1 -> shop/db TCP 5432 | NotIsolated | NotIsolated`)
		s.edit("shop/web", func(p *corev1.Pod) {
			p.Labels["app"] = "web"
			p.Status.Phase = corev1.PodRunning
			stage.SetAddresses(p, "10.9.0.1", "fd09::1")
		})
		s.want(isolated)
		s.sandboxes()
		s.want(isolated) // The addresses in status.podIPs are sufficient.
	}
}

func onlyTheSandboxOfThePodCounts(t *testing.T) {
	web := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "w1"}}
	box := sandbox(web, "10.9.0.1")
	for name, change := range map[string]func(*policy.Sandbox, *corev1.Pod){
		"another UID":       func(b *policy.Sandbox, _ *corev1.Pod) { b.UID = "w0" },
		"another name":      func(b *policy.Sandbox, _ *corev1.Pod) { b.Name = "web-0" },
		"another namespace": func(b *policy.Sandbox, _ *corev1.Pod) { b.Namespace = "lab" },
		"another network":   func(b *policy.Sandbox, _ *corev1.Pod) { b.Interface = "net1" },
		"another node":      func(_ *policy.Sandbox, p *corev1.Pod) { p.Spec.NodeName = "two" },
		"not bound":         func(_ *policy.Sandbox, p *corev1.Pod) { p.Spec.NodeName = "" },
		"host network":      func(_ *policy.Sandbox, p *corev1.Pod) { p.Spec.HostNetwork = true },
		"no address":        func(b *policy.Sandbox, _ *corev1.Pod) { b.Addresses = nil },
		"link-local":        func(b *policy.Sandbox, _ *corev1.Pod) { b.Addresses[0] = netip.MustParseAddr("fe80::1") },
		"IPv4-mapped":       func(b *policy.Sandbox, _ *corev1.Pod) { b.Addresses[0] = netip.MustParseAddr("::ffff:10.9.0.1") },
	} {
		b := box
		b.Addresses = []netip.Addr{box.Addresses[0]}
		s := newFixture(t, shop, stage.Policy(t, "shop/web", webDenied))
		s.edit("shop/web", func(p *corev1.Pod) {
			starting("w1")(p)
			change(&b, p)
		})
		s.sandboxes(b)
		t.Log(name)
		s.want(unknown)
		for _, a := range b.Addresses {
			if owner, ok := s.snapshot.Owner(a); ok {
				t.Errorf("%s belongs to %s", a, owner.Name)
			}
		}
	}
	// The UID of a static pod on the node differs from the UID of its mirror pod in the API
	// server.
	s := newFixture(t, shop, stage.Policy(t, "shop/web", webDenied))
	s.edit("shop/web", func(p *corev1.Pod) {
		starting("mirror")(p)
		p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "w1"}
	})
	s.sandboxes(sandbox(web, "10.9.0.1", "fd09::1"))
	s.want(isolated)
}

// The attachment with an address in status.podIPs is the attachment to the pod network,
// regardless of its interface name.
func anAttachmentWithAPodIPIsTheOneToThePodNetwork(t *testing.T) {
	s := newFixture(t, shop, stage.Policy(t, "shop/web", webDenied))
	s.edit("shop/web", func(p *corev1.Pod) { p.UID = "w1" })
	web := s.pod("shop/web")
	primary, second := sandbox(web, "10.0.0.1", "10.9.0.1", "fd09::1"), sandbox(web, "10.8.0.1")
	primary.Interface = "net0"
	s.sandboxes(second, primary)
	s.want(isolated)
	s.want(`10.8.0.1 -> shop/db TCP 5432 | External | NotIsolated`)
}

// aSandboxIsReplaced checks that the addresses of a new sandbox belong to the pod
// immediately. The status.podIPs of the pod contains the addresses of the earlier sandbox
// until the kubelet updates the status.
func aSandboxIsReplaced(t *testing.T) {
	s := newFixture(t, shop, stage.Policy(t, "shop/web", webDenied))
	s.edit("shop/web", func(p *corev1.Pod) { p.UID = "w1" })
	web := s.pod("shop/web")
	s.sandboxes(sandbox(web, "10.0.0.1"))
	s.sandboxes(sandbox(web, "10.9.0.1", "fd09::1"))
	s.want(isolated)
	s.want(`10.0.0.1 -> shop/db TCP 5432 | Denied by shop/web | NotIsolated`)
	// Another pod receives the earlier address.
	s.edit("lab/bare", starting("b1"))
	s.sandboxes(sandbox(web, "10.9.0.1", "fd09::1"), sandbox(s.pod("lab/bare"), "10.0.0.1"))
	s.want(isolated)
	s.want(`10.0.0.1 -> shop/db TCP 5432 | NotIsolated | NotIsolated`)
}

// anAddressThatIsReusedAtOnce checks that an address belongs to the pod whose sandbox has the
// address. This must be true even while the status of the address's previous owner still contains
// it.
func anAddressThatIsReusedAtOnce(t *testing.T) {
	s := newFixture(t, shop, stage.Policy(t, "shop/web", webDenied))
	s.edit("shop/web", starting("w1"))
	s.edit("lab/bare", func(p *corev1.Pod) {
		p.UID = "b1"
		stage.SetAddresses(p, "10.9.0.1", "fd09::1")
	})
	bare, web := s.pod("lab/bare"), s.pod("shop/web")
	s.sandboxes(sandbox(bare, "10.9.0.1", "fd09::1"))
	s.want(`10.9.0.1 -> shop/db TCP 5432 | NotIsolated | NotIsolated`)
	s.sandboxes(sandbox(web, "10.9.0.1", "fd09::1"))
	s.want(isolated)
	s.remove(bare)
	s.want(isolated)
}

// isolationEndsWithTheSandbox checks that a pod remains isolated until its sandbox ends. It
// covers each way in which a pod can end while its containers are still running.
func isolationEndsWithTheSandbox(t *testing.T) {
	for name, end := range map[string]func(*fixture){
		"force-deleted": func(s *fixture) { s.remove(s.pod("shop/web")) },
		"replaced": func(s *fixture) {
			s.edit("shop/web", func(p *corev1.Pod) {
				starting("w2")(p)
				p.Labels["app"] = "other"
				p.Spec.NodeName = "two"
			})
		},
		"deleted and created": func(s *fixture) {
			next := s.pod("shop/web")
			starting("w2")(next)
			s.remove(next)
			s.set(next)
		},
		"succeeded": func(s *fixture) {
			s.edit("shop/web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
		},
		"failed, then deleted": func(s *fixture) {
			s.edit("shop/web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed })
			s.remove(s.pod("shop/web"))
		},
		"deleted before status.podIPs is known": func(s *fixture) {
			s.edit("shop/web", starting("w1"))
			s.remove(s.pod("shop/web"))
		},
		"terminating": func(s *fixture) {
			s.edit("shop/web", func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} })
			s.remove(s.pod("shop/web"))
		},
	} {
		s := newFixture(t, shop, stage.Policy(t, "shop/web", webDenied))
		s.edit("shop/web", func(p *corev1.Pod) {
			p.UID = "w1"
			stage.SetAddresses(p, "10.9.0.1", "fd09::1")
		})
		box := sandbox(s.pod("shop/web"), "10.9.0.1", "fd09::1")
		s.sandboxes(box)
		end(s)
		t.Log(name)
		s.want(isolated)
		// Policy changes still apply to the pod.
		s.set(stage.Policy(t, "shop/more", `{podSelector: {matchLabels: {tier: front}}, policyTypes: [Egress], egress: [{ports: [{port: 5432}]}]}`))
		s.want(`10.9.0.1 -> shop/db TCP 5432 | Rule shop/more[0] | NotIsolated`)
		s.remove(stage.Policy(t, "shop/more", `{}`))
		s.want(isolated)
		s.sandboxes()
		s.want(`
			10.9.0.1 -> shop/db  TCP 5432 | External    | NotIsolated
			shop/db  -> 10.9.0.1 TCP 8080 | NotIsolated | External
		`)
	}
}

// isolationEndsWithTheRoute checks a node whose sandboxes are not known. A pod must remain
// isolated as long as its node has a route to the pod.
func isolationEndsWithTheRoute(t *testing.T) {
	for name, end := range map[string]func(*fixture){
		"force-deleted": func(s *fixture) { s.remove(s.pod("shop/web")) },
		"succeeded": func(s *fixture) {
			s.edit("shop/web", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })
		},
	} {
		s := newFixture(t, shop, stage.Policy(t, "shop/web", webDenied))
		s.edit("shop/web", func(p *corev1.Pod) {
			p.UID = "w1"
			stage.SetAddresses(p, "10.9.0.1", "fd09::1")
		})
		s.sandboxed = true
		s.snapshot.SetRouted("one", []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("fd09::1")})
		end(s)
		t.Log(name)
		s.want(isolated)
		s.snapshot.SetRouted("one", nil)
		s.want(`
			10.9.0.1 -> shop/db  TCP 5432 | External    | NotIsolated
			shop/db  -> 10.9.0.1 TCP 8080 | NotIsolated | External
		`)
	}
}

// If a lingering pod and another pod have the same address, the other pod owns the address.
func aLingeringPodHasTheLastClaim(t *testing.T) {
	s := newFixture(t, shop, stage.Policy(t, "shop/web", webDenied))
	s.edit("shop/web", func(p *corev1.Pod) {
		p.UID = "w1"
		stage.SetAddresses(p, "10.9.0.1", "fd09::1")
	})
	s.sandboxes(sandbox(s.pod("shop/web"), "10.9.0.1", "fd09::1"))
	s.remove(s.pod("shop/web"))
	s.want(isolated)
	s.edit("lab/bare", func(p *corev1.Pod) {
		p.CreationTimestamp = metav1.NewTime(time.Unix(-100, 0))
		p.Status.Phase = corev1.PodPending
		stage.SetAddresses(p, "10.9.0.1")
	})
	s.want(`
		10.9.0.1 -> shop/db TCP 5432 | NotIsolated        | NotIsolated
		fd09::1  -> shop/db TCP 5432 | Denied by shop/web | NotIsolated
	`)
	if got := s.snapshot.LingeringPods(); got != 1 {
		t.Errorf("%d lingering pods, want 1", got)
	}
}

// A lingering pod is still a peer. The rules of other pods match its last labels.
func aLingeringPodIsAPeer(t *testing.T) {
	s := newFixture(t, shop, stage.Policy(t, "shop/db", fromRedWeb))
	s.edit("shop/web", func(p *corev1.Pod) { p.UID = "w1" })
	s.sandboxes(sandbox(s.pod("shop/web"), "10.0.0.1"))
	s.remove(s.pod("shop/web"))
	s.want(`10.0.0.1 -> shop/db TCP 5432 | NotIsolated | Rule shop/db[0]`)
	s.sandboxes()
	s.want(`10.0.0.1 -> shop/db TCP 5432 | External | Denied by shop/db`)
}

// deletedNamespacesOpenNoPod deletes a namespace and its policies while a pod of the
// namespace still has a sandbox. The pod must remain isolated, regardless of the order of
// deletion.
func deletedNamespacesOpenNoPod(t *testing.T) {
	terminating := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", DeletionTimestamp: &metav1.Time{Time: time.Unix(1, 0)}}}
	deny := stage.Policy(t, "shop/web", webDenied)
	pod := func(s *fixture) { s.remove(s.pod("shop/web")) }
	policies := func(s *fixture) { s.remove(deny) }
	object := func(s *fixture) { s.remove(terminating) }
	for name, steps := range map[string][]func(*fixture){
		"pods, policies, namespace": {pod, policies, object},
		"policies, pods, namespace": {policies, pod, object},
		"namespace, policies, pods": {object, policies, pod},
		"pods, namespace, policies": {pod, object, policies},
	} {
		s := newFixture(t, shop, deny)
		s.edit("shop/web", func(p *corev1.Pod) {
			p.UID = "w1"
			stage.SetAddresses(p, "10.9.0.1", "fd09::1")
		})
		s.sandboxes(sandbox(s.pod("shop/web"), "10.9.0.1", "fd09::1"))
		s.set(terminating)
		t.Log(name)
		for _, step := range steps {
			step(s)
			s.want(isolated)
		}
		// The deleted policies do not apply to pods in a new namespace with the same name.
		s.set(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
		next := s.pod("lab/bare")
		next.Namespace, next.Name, next.UID, next.Labels = "shop", "web", "w2", map[string]string{"app": "web", "tier": "front"}
		s.set(next)
		s.want(isolated)
		s.want(`shop/web -> shop/db TCP 5432 | NotIsolated | NotIsolated`)
		s.sandboxes()
		s.want(unknown)
	}
}

// If a policy is deleted while its namespace exists, the policy has no effect any more, not
// even on lingering pods.
func aDeletedPolicyHasNoEffect(t *testing.T) {
	deny := stage.Policy(t, "shop/web", webDenied)
	s := newFixture(t, shop, deny)
	s.edit("shop/web", func(p *corev1.Pod) { p.UID = "w1" })
	s.sandboxes(sandbox(s.pod("shop/web"), "10.0.0.1"))
	s.remove(s.pod("shop/web"))
	s.want(`10.0.0.1 -> shop/db TCP 5432 | Denied by shop/web | NotIsolated`)
	s.remove(deny)
	s.want(`10.0.0.1 -> shop/db TCP 5432 | NotIsolated | NotIsolated`)
}
