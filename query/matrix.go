package query

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/query/internal/grid"
	"github.com/sluicenet/sluice/query/internal/phrase"
	"github.com/sluicenet/sluice/query/question"
)

// maxMatrixPods is the maximum number of pods in a matrix. The limit exists because
// Cluster.Matrix evaluates a flow for every pair of pods.
const maxMatrixPods = 3000

// MatrixQuestion is a question about the flows between many ends.
type MatrixQuestion struct {
	// If Target contains the name of a port, each destination pod resolves the name to one of its
	// container ports. Flows to a destination without such a port are not evaluated.
	Target
	// Namespaces are the namespaces whose pods are in the matrix. An empty list
	// means all namespaces.
	Namespaces []string
	// Addresses are addresses outside the cluster to show in addition to the pods.
	Addresses []string
}

// Matrix contains the verdicts for the flows from every end to every other end on one
// destination port.
type Matrix struct {
	TypeMeta
	Protocol string `json:"protocol"`
	// Port is the destination port, or null if the protocol has no ports or PortName is set.
	Port *int `json:"port"`
	// PortName is the name of the destination port, if the question contained a name.
	PortName string      `json:"portName,omitempty"`
	Ends     []MatrixEnd `json:"ends"`
	// Flows contains no entry for a flow from a pod to itself, for two ends without a common
	// address family, or for a destination without a port with the name PortName.
	Flows []MatrixFlow `json:"flows"`
	// Width is the maximum width of the text in columns. 0 means 120.
	Width int `json:"-"`
}

// MatrixEnd is one row and column of a matrix: a pod, an address, or a group of pods. If all
// pods of a workload have the same verdicts in the matrix, they form a group.
type MatrixEnd struct {
	// Name is the unique name of the end: the pod, the address, or, for a group, the workload
	// with the number of pods, such as "shop/web (3)".
	Name string `json:"name"`
	// Pods are the names of the pods. The list is empty for an address.
	Pods []string `json:"pods,omitempty"`
}

// MatrixFlow is the verdict for the flows from one end to another. From and To are the names
// of these ends. The names are equal for flows between the pods of one group.
type MatrixFlow struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Verdict is Allow, Deny, or Mixed if only one address family is allowed.
	Verdict string `json:"verdict"`
	// Families contains the family that is allowed, IPv4 or IPv6, if the verdict is Mixed.
	Families []string `json:"families,omitempty"`
}

// Matrix evaluates the flows between all pods and addresses that the question
// selects. It omits finished pods and pods in the host network.
func (c *Cluster) Matrix(q *MatrixQuestion) (*Matrix, error) {
	protocol, port, name, err := q.ports()
	if err != nil {
		return nil, err
	}
	ends, err := c.matrixEnds(q)
	if err != nil {
		return nil, err
	}
	if name != "" {
		if err := checkPortName(ends, protocol, name); err != nil {
			return nil, err
		}
	}
	cells, err := c.evaluatePairs(ends, protocol, port, name)
	if err != nil {
		return nil, err
	}
	m := &Matrix{TypeMeta: NewTypeMeta("Matrix"), Protocol: protocol.String(), PortName: name, Flows: []MatrixFlow{}}
	if protocol.HasPorts() && name == "" {
		m.Port = &port
	}
	m.add(mergePods(ends, cells))
	return m, nil
}

// matrixEnd is a pod or an address, before mergePods merges the pods of each workload.
type matrixEnd struct {
	name string
	// workload is "namespace/name", or "" for an address.
	workload  string
	addresses []netip.Addr
	assigned  bool
	ports     policy.ContainerPorts
}

// matrixEnds returns the ends of a matrix: first the pods, sorted by name, and then the
// addresses.
func (c *Cluster) matrixEnds(q *MatrixQuestion) ([]matrixEnd, error) {
	for _, namespace := range q.Namespaces {
		if err := c.checkNamespace(namespace); err != nil {
			return nil, err
		}
	}
	var ends []matrixEnd
	for i := range c.set.Pods {
		p := &c.set.Pods[i]
		if !q.selects(p) {
			continue
		}
		if e, err := c.podEnd("", p); err == nil {
			ends = append(ends, matrixEnd{name: e.Pod, workload: p.Pod.Namespace + "/" + p.Workload, addresses: e.addresses, assigned: e.assigned, ports: e.ports})
		}
	}
	switch {
	case len(ends) == 0 && len(q.Namespaces) > 0:
		return nil, question.Errorf("namespace", phrase.Few(q.Namespaces), "no pod there has an address")
	case len(ends) == 0:
		return nil, question.Errorf("", "", "no pod has an address; give pods too, such as kubectl get pods -A -o yaml writes")
	case len(ends) > maxMatrixPods:
		return nil, question.Errorf("", "", "%d pods are too many for one table; choose namespaces with -n", len(ends))
	}
	slices.SortFunc(ends, func(a, b matrixEnd) int { return comparePods(a.name, b.name) })
	for _, text := range q.Addresses {
		address, ok, err := parseAddress("address", text)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, question.Errorf("address", text, "not an IP address")
		}
		ends = append(ends, matrixEnd{name: address.String(), addresses: []netip.Addr{address}})
	}
	return ends, nil
}

func (q *MatrixQuestion) selects(p *inventory.Pod) bool {
	return !p.HostNetwork && !p.Finished && (len(q.Namespaces) == 0 || slices.Contains(q.Namespaces, p.Pod.Namespace))
}

// evaluatePairs evaluates the flow from every end to every other end. The first index of the
// result is the source, and the second index is the destination. If the `name` parameter is not
// empty, each destination resolves this port name, and the `port` parameter is ignored.
func (c *Cluster) evaluatePairs(ends []matrixEnd, protocol flow.Protocol, port int, name string) ([][]grid.Cell, error) {
	cells := make([][]grid.Cell, len(ends))
	for i := range ends {
		cells[i] = make([]grid.Cell, len(ends))
		for j := range ends {
			if name != "" {
				port = int(ends[j].ports.Number(protocol, name))
			}
			if i == j || name != "" && port == 0 {
				continue
			}
			var err error
			if cells[i][j], err = c.evaluatePair(&ends[i], &ends[j], protocol, port); err != nil {
				return nil, err
			}
		}
	}
	return cells, nil
}

// evaluatePair evaluates the flow between two ends for each address family that both ends have.
// If an end has assigned addresses, evaluatePair evaluates one family.
func (c *Cluster) evaluatePair(from, to *matrixEnd, protocol flow.Protocol, port int) (grid.Cell, error) {
	cell := grid.NotEvaluated
	for src, dst := range families(from.addresses, to.addresses, from.assigned || to.assigned) {
		f, err := question.NewFlow(src, dst, protocol, port)
		if err != nil {
			return grid.NotEvaluated, err
		}
		verdict, err := c.Verdict(f)
		if err != nil {
			return grid.NotEvaluated, err
		}
		switch allowed := verdict == rule.Allow; {
		case cell == grid.NotEvaluated && allowed, cell == grid.Allowed && allowed:
			cell = grid.Allowed
		case cell == grid.Allowed:
			cell = grid.OnlyIPv4
		case cell == grid.Denied && allowed:
			cell = grid.OnlyIPv6
		default:
			cell = grid.Denied
		}
	}
	return cell, nil
}

// mergePods merges the pods of a workload into one end if all these pods have the same
// verdicts.
func mergePods(ends []matrixEnd, cells [][]grid.Cell) ([]MatrixEnd, [][]grid.Cell) {
	members := map[string][]int{}
	for i, e := range ends {
		if e.workload != "" {
			members[e.workload] = append(members[e.workload], i)
		}
	}
	var merged []MatrixEnd
	var first []int // first[i] is the index in ends of the first pod of merged[i].
	for i, e := range ends {
		switch group := members[e.workload]; {
		case len(group) < 2 || !alike(cells, group):
			end := MatrixEnd{Name: e.name}
			if e.workload != "" {
				end.Pods = []string{e.name}
			}
			merged, first = append(merged, end), append(first, i)
		case group[0] == i:
			end := MatrixEnd{Name: fmt.Sprintf("%s (%d)", e.workload, len(group))}
			for _, j := range group {
				end.Pods = append(end.Pods, ends[j].name)
			}
			merged, first = append(merged, end), append(first, i)
		}
	}
	out := make([][]grid.Cell, len(first))
	for i, from := range first {
		for j, to := range first {
			if i == j && len(merged[i].Pods) > 1 {
				to = members[ends[from].workload][1]
			}
			out[i] = append(out[i], cells[from][to])
		}
	}
	return merged, out
}

// alike reports whether the pods of a group can be merged into one end. For every end outside
// the group, all pods must have the same verdict in each direction. All flows between pods of
// the group must have the same verdict.
func alike(cells [][]grid.Cell, group []int) bool {
	inside := make(map[int]bool, len(group))
	for _, i := range group {
		inside[i] = true
	}
	a := group[0]
	for _, b := range group {
		for _, other := range group {
			if b != other && cells[b][other] != cells[group[0]][group[1]] {
				return false
			}
		}
		for j := range cells {
			if !inside[j] && (cells[a][j] != cells[b][j] || cells[j][a] != cells[j][b]) {
				return false
			}
		}
	}
	return true
}

// add appends ends to the matrix, with the verdicts for the flows between the ends.
func (m *Matrix) add(ends []MatrixEnd, cells [][]grid.Cell) {
	m.Ends = ends
	for i, row := range cells {
		for j, c := range row {
			if c == grid.NotEvaluated {
				continue
			}
			flow := MatrixFlow{From: ends[i].Name, To: ends[j].Name}
			flow.Verdict, flow.Families = cellVerdict(c)
			m.Flows = append(m.Flows, flow)
		}
	}
}

// cellVerdict returns the verdict of a cell that was evaluated. If the verdict is Mixed, it also
// returns the address families that are allowed.
func cellVerdict(c grid.Cell) (verdict string, families []string) {
	switch c {
	case grid.Allowed:
		return rule.Allow.String(), nil
	case grid.OnlyIPv4:
		return Mixed, []string{"IPv4"}
	case grid.OnlyIPv6:
		return Mixed, []string{"IPv6"}
	default:
		return rule.Deny.String(), nil
	}
}

// comparePods compares two pod names. It compares numbers at the end of the names by value,
// so that web-2 comes before web-10.
func comparePods(a, b string) int {
	headA, numberA := trailingNumber(a)
	headB, numberB := trailingNumber(b)
	return cmp.Or(cmp.Compare(headA, headB), cmp.Compare(numberA, numberB), cmp.Compare(a, b))
}

func trailingNumber(name string) (head string, number int) {
	at := strings.LastIndexByte(name, '-')
	if n, err := strconv.Atoi(name[at+1:]); at >= 0 && err == nil && n >= 0 {
		return name[:at], n
	}
	return name, -1
}

// Validate returns an *InputError if the protocol or the port of the question is invalid.
// Commands call Validate before they read any objects.
func (q *MatrixQuestion) Validate() error {
	_, _, _, err := q.ports()
	return err
}

// ports returns the protocol, and the number or the name of the port.
func (q *MatrixQuestion) ports() (protocol flow.Protocol, port int, name string, err error) {
	protocol, name, err = q.Split()
	if err == nil && protocol.HasPorts() && len(validation.IsValidPortName(name)) == 0 {
		return protocol, question.NoPort, name, nil
	}
	protocol, port, err = q.Parse(nil)
	return protocol, port, "", err
}

// checkPortName returns an *InputError if no end has a port with the given name.
func checkPortName(ends []matrixEnd, protocol flow.Protocol, name string) error {
	var names []string
	for i := range ends {
		if ends[i].ports.Number(protocol, name) != 0 {
			return nil
		}
		for _, p := range ends[i].ports {
			if p.Protocol == protocol {
				names = append(names, p.Name)
			}
		}
	}
	slices.Sort(names)
	return question.Errorf("port", name, "no pod has a %s port with this name; there %s", protocol, are(slices.Compact(names)))
}
