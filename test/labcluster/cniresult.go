package labcluster

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"github.com/sluicenet/sluice/test/lab"
)

// CNIResultAnnotation is an annotation of a Pod. If its value is "none", the lab's kubelet writes
// no CNI result for the pod. Container runtimes that do not use libcni write no CNI results
// either.
const CNIResultAnnotation = "lab.sluice.dev/cni-result"

const (
	networkName  = "lab"
	podInterface = "eth0"
)

// writeCNIResult writes the same file for a pod as libcni writes after CNI ADD, and returns the
// path of the file. If the pod must have no CNI result, writeCNIResult writes no file and
// returns "".
func (n *Node) writeCNIResult(object *corev1.Pod, pod *lab.Pod) (path string, err error) {
	if object.Annotations[CNIResultAnnotation] == "none" {
		return "", nil
	}
	id := fmt.Sprintf("%x", sha256.Sum256([]byte(object.UID)))
	netns := "/var/run/netns/cni-" + string(object.UID)
	var ips []map[string]any
	for _, a := range pod.Addresses() {
		ips = append(ips, map[string]any{"interface": 1, "address": fmt.Sprintf("%s/%d", a, a.BitLen())})
	}
	content, err := json.Marshal(map[string]any{
		"kind": "cniCacheV1", "containerId": id, "ifName": podInterface, "networkName": networkName, "netns": netns,
		"config": base64.StdEncoding.EncodeToString([]byte(`{"cniVersion":"1.0.0","name":"` + networkName + `"}`)),
		"cniArgs": [][2]string{
			{"IgnoreUnknown", "1"},
			{"K8S_POD_NAMESPACE", object.Namespace},
			{"K8S_POD_NAME", object.Name},
			{"K8S_POD_INFRA_CONTAINER_ID", id},
			{"K8S_POD_UID", string(object.UID)},
		},
		"capabilityArgs": map[string]any{"dns": map[string]any{}},
		"result": map[string]any{
			"cniVersion": "1.0.0", "dns": map[string]any{}, "ips": ips,
			"interfaces": []map[string]any{{"name": pod.Interface}, {"name": podInterface, "sandbox": netns}},
		},
	})
	if err != nil {
		return "", err
	}
	path = filepath.Join(n.cniResults, networkName+"-"+id+"-"+podInterface)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", fmt.Errorf("writing a CNI result: %w", err)
	}
	return path, nil
}
