package labcluster

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/sluicenet/sluice/controllers/enforcer/desired"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/process"
)

// podImage is the image name in the pod templates. The lab does not use the image. It runs
// Options.Program instead.
const podImage = "sluice:lab"

// capabilities contains the capabilities that a pod may add, and the number of each capability.
var capabilities = map[corev1.Capability]uintptr{"NET_ADMIN": unix.CAP_NET_ADMIN}

// startContainer starts a container of a pod in the same way as a kubelet, with its command,
// user, group, capabilities, environment and mounts. It ignores seccomp profiles and resource
// limits.
func (n *Node) startContainer(pod *corev1.PodTemplateSpec, among []corev1.Container, name string) (*process.Process, error) {
	i := slices.IndexFunc(among, func(c corev1.Container) bool { return c.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("the pod of a node has no container %s", name)
	}
	container, err := n.containerOf(pod, &among[i])
	if err != nil {
		return nil, fmt.Errorf("starting container %s: %w", name, err)
	}
	return process.Start(name+" of "+n.Name(), container.Cmd(), func(cmd *exec.Cmd) error {
		return n.host.StartContainer(container, cmd)
	})
}

func (n *Node) containerOf(pod *corev1.PodTemplateSpec, c *corev1.Container) (*lab.Container, error) {
	s := c.SecurityContext
	out := &lab.Container{
		Program: n.cluster.options.Program,
		User:    uint32(*s.RunAsUser), Group: uint32(*s.RunAsGroup),
		Mounts: map[string]lab.Mount{},
	}
	for _, name := range s.Capabilities.Add {
		number, known := capabilities[name]
		if !known {
			return nil, fmt.Errorf("capability %s is not supported", name)
		}
		out.Capabilities = append(out.Capabilities, number)
	}
	server, err := url.Parse(n.apiServer.Host)
	if err != nil {
		return nil, err
	}
	variables := map[string]string{"KUBERNETES_SERVICE_HOST": server.Hostname(), "KUBERNETES_SERVICE_PORT": server.Port()}
	for _, v := range c.Env {
		variables[v.Name] = v.Value
		if v.ValueFrom != nil {
			if variables[v.Name], err = n.field(v.ValueFrom.FieldRef.FieldPath); err != nil {
				return nil, fmt.Errorf("environment variable %s: %w", v.Name, err)
			}
		}
	}
	var replacements []string
	for name, value := range variables {
		out.Env = append(out.Env, name+"="+value)
		replacements = append(replacements, "$("+name+")", value)
	}
	replacer := strings.NewReplacer(replacements...)
	for _, word := range slices.Concat(c.Command, c.Args) {
		out.Command = append(out.Command, replacer.Replace(word))
	}
	for _, m := range c.VolumeMounts {
		i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 {
			return nil, fmt.Errorf("there is no volume %s", m.Name)
		}
		folder := n.credentials
		if path := pod.Spec.Volumes[i].HostPath; path != nil {
			folder = n.cniResults
			if path.Path == desired.StateDir {
				folder = n.stateDir
			}
		}
		if volume := &pod.Spec.Volumes[i]; volume.EmptyDir != nil {
			if folder, err = n.emptyDir(volume.Name); err != nil {
				return nil, err
			}
		}
		out.Mounts[m.MountPath] = lab.Mount{Folder: folder, ReadOnly: m.ReadOnly}
	}
	return out, nil
}

// field returns a field of the node's pod, as in the downward API. The path is, for example,
// "spec.nodeName".
func (n *Node) field(path string) (string, error) {
	switch path {
	case "spec.nodeName":
		return n.Name(), nil
	case "metadata.namespace":
		return systemNamespace, nil
	default:
		return "", fmt.Errorf("field %s is not supported", path)
	}
}

// emptyDir creates the directory of an emptyDir volume. It creates a new directory for each
// container that the lab starts, because each of these containers represents a container of a
// new pod.
func (n *Node) emptyDir(volume string) (string, error) {
	n.emptyDirs++
	folder, err := n.cluster.server.Folder(fmt.Sprintf("%s-%s-%d", n.Name(), volume, n.emptyDirs))
	if err != nil {
		return "", err
	}
	n.health[volume] = folder
	// Like a kubelet, let every user write to the directory of an emptyDir volume.
	return folder, os.Chmod(folder, 0o777)
}

// writeCredentials writes the files token, ca.crt and namespace. If a pod uses a service
// account, a kubelet projects the same files into the pod.
func writeCredentials(folder string, config *rest.Config) error {
	if err := os.Chmod(folder, 0o755); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"token": []byte(config.BearerToken), "ca.crt": config.CAData, "namespace": []byte(systemNamespace),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return fmt.Errorf("writing credentials: %w", err)
		}
	}
	return nil
}
