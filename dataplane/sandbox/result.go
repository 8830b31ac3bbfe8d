package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/report"
)

// The maximum lengths of names in a result, in bytes, and the maximum number of addresses.
const (
	maxNamespace = 63
	maxPod       = 253
	maxUID       = 64
	maxName      = 128 // of a container or a network
	maxAddresses = 16
)

// errNotPod means that a result file contains no address of a pod. For example, the result
// describes a loopback interface or a container that Kubernetes does not manage.
var errNotPod = errors.New("not an address of a pod")

// cached contains those fields of a result file that this package uses. libcni 0.7 and later write
// these files from the type cachedInfo.
type cached struct {
	Kind        string     `json:"kind"`
	ContainerID string     `json:"containerId"`
	Interface   string     `json:"ifName"`
	Network     string     `json:"networkName"`
	Arguments   [][]string `json:"cniArgs"`
	Result      result     `json:"result"`
}

// result is a result of CNI version 0.1.0 to 1.1.0. Results of versions before 0.3.0 contain
// IP4 and IP6. Results of later versions contain IPs and Interfaces.
type result struct {
	IP4 *legacyIP `json:"ip4"`
	IP6 *legacyIP `json:"ip6"`
	IPs []struct {
		Address string `json:"address"`
	} `json:"ips"`
	Interfaces []struct {
		Name    string `json:"name"`
		Sandbox string `json:"sandbox"`
	} `json:"interfaces"`
}

type legacyIP struct {
	IP string `json:"ip"`
}

// cacheKind is the value of Kind in all result files.
const cacheKind = "cniCacheV1"

// Names of the arguments that identify a pod.
const (
	argumentNamespace = "K8S_POD_NAMESPACE"
	argumentName      = "K8S_POD_NAME"
	argumentUID       = "K8S_POD_UID"
)

// parse returns the sandbox that the content of a file describes. If the file does not describe an
// address of a pod, parse returns errNotPod. If the content is invalid or incomplete, it returns
// another error.
func parse(content []byte) (report.Sandbox, error) {
	var c cached
	if err := json.Unmarshal(content, &c); err != nil {
		return report.Sandbox{}, fmt.Errorf("not a CNI result: %w", err)
	}
	if c.Kind != cacheKind {
		return report.Sandbox{}, errNotPod
	}
	s := report.Sandbox{ContainerID: c.ContainerID, Network: c.Network, Interface: c.Interface}
	for _, argument := range c.Arguments {
		if len(argument) != 2 {
			continue
		}
		switch argument[0] {
		case argumentNamespace:
			s.Namespace = argument[1]
		case argumentName:
			s.Name = argument[1]
		case argumentUID:
			s.UID = argument[1]
		}
	}
	if s.Namespace == "" || s.Name == "" || s.UID == "" {
		return report.Sandbox{}, errNotPod
	}
	var err error
	if s.Addresses, err = c.Result.addresses(); err != nil {
		return report.Sandbox{}, err
	}
	if len(s.Addresses) == 0 {
		return report.Sandbox{}, errNotPod
	}
	s.HostInterface = c.Result.hostInterface(s.Interface)
	return s, validate(&s)
}

// addresses returns the addresses of a result. It omits duplicates, and addresses that a pod
// cannot have on a network: loopback, link-local, multicast, broadcast and unspecified
// addresses.
func (r *result) addresses() ([]netip.Addr, error) {
	var texts []string
	for _, old := range []*legacyIP{r.IP4, r.IP6} {
		if old != nil {
			texts = append(texts, old.IP)
		}
	}
	for _, ip := range r.IPs {
		texts = append(texts, ip.Address)
	}
	if len(texts) > maxAddresses {
		return nil, fmt.Errorf("%d addresses, want at most %d", len(texts), maxAddresses)
	}
	var out []netip.Addr
	seen := map[netip.Addr]bool{}
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("address: %w", err)
		}
		a := prefix.Addr().Unmap()
		if !seen[a] && a.IsGlobalUnicast() {
			out = append(out, a)
		}
		seen[a] = true
	}
	return out, nil
}

// hostInterface returns the name of the last interface outside the pod, or "" if there is no such
// interface. An interface is outside the pod if its field `sandbox` is empty. The plugins bridge
// and ptp list the node's interfaces first, so the last interface outside the pod is the node's
// end of the pod's veth pair. Some plugins leave the field empty even for the interface inside the
// pod. Therefore, hostInterface skips the interface named by `own`, which is the pod's own
// interface.
func (r *result) hostInterface(own string) string {
	name := ""
	for _, i := range r.Interfaces {
		if i.Sandbox == "" && i.Name != own {
			name = i.Name
		}
	}
	return name
}

// validate checks the names of the sandbox. It returns an error if a name is too long, if a
// required name is empty, or if a name contains a character that is not allowed.
func validate(s *report.Sandbox) error {
	for _, field := range []struct {
		what, value string
		limit       int
		optional    bool
	}{
		{"namespace", s.Namespace, maxNamespace, false},
		{"pod", s.Name, maxPod, false},
		{"UID", s.UID, maxUID, false},
		{"container", s.ContainerID, maxName, false},
		{"network", s.Network, maxName, false},
		{"interface", s.Interface, unix.IFNAMSIZ - 1, false},
		{"interface", s.HostInterface, unix.IFNAMSIZ - 1, true},
	} {
		if !isName(field.value, field.limit) && (field.value != "" || !field.optional) {
			return fmt.Errorf("%s %.40q: want 1 to %d letters, digits and the characters . _ - : @", field.what, field.value, field.limit)
		}
	}
	return nil
}

// isName reports whether s has from 1 to limit bytes and contains only letters, digits and the
// punctuation that names may contain.
func isName(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case c == '.', c == '_', c == '-', c == ':', c == '@':
		default:
			return false
		}
	}
	return true
}
