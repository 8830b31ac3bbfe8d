package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
)

// The constant overlay is a kustomization that changes the image in config/default.
const overlay = `resources: [%s]
images: [{name: sluice, newName: %s, newTag: %q}]
`

// The `overlay` method creates a directory with a kustomization for `kubectl apply -k`. The
// kustomization is config/default with the image under test.
func (c *cluster) overlay() (directory string, err error) {
	base, err := filepath.Abs(filepath.Join(c.config, "default"))
	if err != nil {
		return "", err
	}
	if directory, err = os.MkdirTemp("", "sluice-e2e-"); err != nil {
		return "", err
	}
	// kustomize accepts only relative paths to bases.
	if base, err = filepath.Rel(directory, base); err != nil {
		return "", err
	}
	name, tag := c.image, "latest"
	if i := strings.LastIndex(c.image, ":"); i > strings.LastIndex(c.image, "/") {
		name, tag = c.image[:i], c.image[i+1:]
	}
	text := fmt.Sprintf(overlay, base, name, tag)
	return directory, os.WriteFile(filepath.Join(directory, "kustomization.yaml"), []byte(text), 0o600)
}

// withOverlay runs kubectl with the arguments and the directory of the overlay.
func (c *cluster) withOverlay(ctx context.Context, arguments ...string) error {
	directory, err := c.overlay()
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	_, err = c.kubectl(ctx, "", append(arguments, "-k", directory)...)
	return err
}

func (c *cluster) install(ctx context.Context) error {
	if err := c.withOverlay(ctx, "apply"); err != nil {
		return err
	}
	_, err := c.kubectl(ctx, "", "-n", "sluice-system", "rollout", "status", "deployment/sluice-operator", "--timeout=3m")
	return err
}

const enforcer = `apiVersion: policy.sluice.dev/v1alpha1
kind: Enforcer
metadata: {name: default}
spec: {denyAction: %s}
`

// apply applies the Enforcer and waits until it is available.
func (c *cluster) apply(ctx context.Context, deny v1alpha1.DenyAction) error {
	if _, err := c.kubectl(ctx, fmt.Sprintf(enforcer, deny), "apply", "-f", "-"); err != nil {
		return err
	}
	return c.available(ctx)
}

// The method `available` waits until every node that the Enforcer selects enforces policies with
// the current spec of the Enforcer.
func (c *cluster) available(ctx context.Context) error {
	return until(ctx, func(ctx context.Context) error {
		var e v1alpha1.Enforcer
		if err := c.read(ctx, &e, "enforcer", v1alpha1.EnforcerName); err != nil {
			return err
		}
		n := e.Status.Nodes
		if e.Status.ObservedGeneration != e.Generation || n.Desired == 0 || n.Ready != n.Desired || n.UpToDate != n.Desired ||
			!isTrue(e.Status.Conditions, v1alpha1.ConditionAvailable) {
			return fmt.Errorf("the Enforcer is not available: %+v", e.Status)
		}
		return nil
	})
}

func isTrue(conditions []metav1.Condition, kind v1alpha1.ConditionType) bool {
	for _, condition := range conditions {
		if condition.Type == string(kind) {
			return condition.Status == metav1.ConditionTrue
		}
	}
	return false
}

func (c *cluster) enforce(ctx context.Context) error { return c.apply(ctx, v1alpha1.DenyDrop) }

func (c *cluster) reconfigure(ctx context.Context) error {
	return c.watched(ctx, func(ctx context.Context) error {
		if err := c.apply(ctx, v1alpha1.DenyReject); err != nil {
			return err
		}
		return c.rejected(ctx)
	})
}

func (c *cluster) restartNodes(ctx context.Context) error {
	return c.watched(ctx, func(ctx context.Context) error { return c.restart(ctx, "daemonset/sluice") })
}

func (c *cluster) restartOperator(ctx context.Context) error {
	return c.restart(ctx, "deployment/sluice-operator")
}

func (c *cluster) restart(ctx context.Context, what string) error {
	if _, err := c.kubectl(ctx, "", "-n", "sluice-system", "rollout", "restart", what); err != nil {
		return err
	}
	_, err := c.kubectl(ctx, "", "-n", "sluice-system", "rollout", "status", what, "--timeout=3m")
	return err
}

// disable deletes the Enforcer. The deletion completes when every node has confirmed that its
// rules are removed. Afterwards, the policies still exist but are not enforced.
func (c *cluster) disable(ctx context.Context) error {
	if _, err := c.kubectl(ctx, "", "delete", "enforcer", v1alpha1.EnforcerName, "--timeout=3m"); err != nil {
		return err
	}
	if out, err := c.kubectl(ctx, "", "get", "nodeenforcers", "-o", "name"); err != nil || out != "" {
		return errors.Join(fmt.Errorf("these objects still exist: %q", out), err)
	}
	return c.reachable(ctx)
}

func (c *cluster) uninstall(ctx context.Context) error {
	if err := c.withOverlay(ctx, "delete", "--timeout=3m"); err != nil {
		return err
	}
	return until(ctx, func(ctx context.Context) error {
		for _, kind := range []string{
			"crd", "clusterrole", "clusterrolebinding", "namespace", "validatingadmissionpolicy", "validatingadmissionpolicybinding",
		} {
			out, err := c.kubectl(ctx, "", "get", kind, "-o", "name")
			if err != nil {
				return err
			}
			for name := range strings.Lines(out) {
				if strings.Contains(name, "sluice") && !strings.Contains(name, namespace) {
					return fmt.Errorf("%s still exists", strings.TrimSpace(name))
				}
			}
		}
		return nil
	})
}

// cleanUp removes the objects of an earlier run that failed.
func (c *cluster) cleanUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	// Ignore the error: the command fails if the kind Enforcer does not exist, and then
	// there are no Enforcers to delete.
	_, _ = c.kubectl(ctx, "", "delete", "enforcers", "--all", "--timeout=90s")
	_, err := c.kubectl(ctx, "", "delete", "namespace", namespace, "--ignore-not-found", "--timeout=90s")
	return errors.Join(err, c.unmark(ctx), c.withOverlay(ctx, "delete", "--ignore-not-found", "--timeout=90s"))
}
