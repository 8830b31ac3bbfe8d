package query

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/policy"
	"github.com/sluicenet/sluice/query/internal/alike"
	"github.com/sluicenet/sluice/query/internal/family"
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

// Matrix contains the verdicts for the flows from every pod and address to every other one on one
// destination port.
type Matrix struct {
	TypeMeta
	Protocol string `json:"protocol"`
	// Port is the destination port, or null if the protocol has no ports or PortName is set.
	Port *int `json:"port"`
	// PortName is the name of the destination port, if the question contained a name.
	PortName string `json:"portName,omitempty"`
	// Symbols describes the symbols in MatrixClass.To.
	Symbols map[string]string `json:"symbols"`
	// Classes groups the pods and addresses whose flows have the same verdicts. The classes are in
	// the order of their first members. Pods come before addresses.
	Classes []MatrixClass `json:"classes"`
	// Width is the maximum width of the text in columns. 0 means 120.
	Width int `json:"-"`

	grid *grid.Grid
}

// MatrixClass is a set of pods and addresses. On the port of the matrix, the flows from all members
// to any other destination have the same verdict, and so have the flows from any other source to
// all members, and the flows between two members.
type MatrixClass struct {
	// Pods are the names of the pods, in the form namespace/name.
	Pods []string `json:"pods,omitempty"`
	// Addresses are addresses that do not belong to pods.
	Addresses []string `json:"addresses,omitempty"`
	// To contains one symbol for each class, in the order of the classes: the verdict for the flows
	// from a member of this class to the other members of that class.
	To string `json:"to"`
}

// symbols describes the symbols of a matrix in JSON.
func symbols() map[string]string {
	return map[string]string{
		string(rune(grid.Allowed)):      rule.Allow.String(),
		string(rune(grid.Denied)):       rule.Deny.String(),
		string(rune(grid.OnlyIPv4)):     "only IPv4 is allowed",
		string(rune(grid.OnlyIPv6)):     "only IPv6 is allowed",
		string(rune(grid.NotEvaluated)): "not evaluated",
	}
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
	m := &Matrix{TypeMeta: NewTypeMeta("Matrix"), Protocol: protocol.String(), PortName: name, Symbols: symbols()}
	if protocol.HasPorts() && name == "" {
		m.Port = &port
	}
	m.classify(ends, cells)
	return m, nil
}

// matrixEnd is a pod or an address of a matrix.
type matrixEnd struct {
	grid.End
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
			ends = append(ends, matrixEnd{End: grid.End{Name: e.Pod, Workload: p.Pod.Namespace + "/" + p.Workload}, addresses: e.addresses, assigned: e.assigned, ports: e.ports})
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
	slices.SortFunc(ends, func(a, b matrixEnd) int { return comparePods(a.Name, b.Name) })
	for _, text := range q.Addresses {
		address, ok, err := parseAddress("address", text)
		if err != nil {
			return nil, err
		}
		if !ok {
			return nil, question.Errorf("address", text, "not an IP address")
		}
		ends = append(ends, matrixEnd{End: grid.End{Name: address.String()}, addresses: []netip.Addr{address}})
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
		cells[i] = slices.Repeat([]grid.Cell{grid.NotEvaluated}, len(ends))
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
	for src, dst := range family.Pairs(from.addresses, to.addresses, from.assigned || to.assigned) {
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

// classify computes the classes of the ends, and the table.
func (m *Matrix) classify(ends []matrixEnd, cells [][]grid.Cell) {
	rows := make([][]byte, len(cells))
	for i, row := range cells {
		for _, c := range row {
			rows[i] = append(rows[i], byte(c))
		}
	}
	classes := alike.Classes(rows)
	m.Classes = make([]MatrixClass, len(classes))
	for k, members := range classes {
		to := make([]byte, len(classes))
		for l, other := range classes {
			// If both classes are the same, first and last are different members of the class, unless the
			// class has only one member.
			first, last := members[0], other[len(other)-1]
			to[l] = rows[first][last]
		}
		m.Classes[k].To = string(to)
		for _, i := range members {
			m.Classes[k].add(ends[i].End)
		}
	}
	names := make([]grid.End, len(ends))
	for i := range ends {
		names[i] = ends[i].End
	}
	m.grid = grid.New(names, cells, classes)
}

func (c *MatrixClass) add(end grid.End) {
	if end.Workload == "" {
		c.Addresses = append(c.Addresses, end.Name)
	} else {
		c.Pods = append(c.Pods, end.Name)
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
