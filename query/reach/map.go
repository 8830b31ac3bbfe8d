package reach

import (
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/internal/family"
	"github.com/sluicenet/sluice/query/question"
)

// maxWorkloads is the maximum number of workloads in a Map. The limit exists because NewMap
// evaluates flows for every pair of workloads.
const maxWorkloads = 2000

// NewMap returns the map of all workloads of a set. The cluster must contain the objects of this
// set.
func NewMap(set *inventory.Set, cluster *query.Cluster) (*Map, error) {
	all := ends(set)
	if len(all) > maxWorkloads {
		return nil, question.Errorf("", "", "%d workloads are too many for a map; it can contain %d", len(all), maxWorkloads)
	}
	m := &Map{TypeMeta: query.NewTypeMeta("ReachMap"), Workloads: []Workload{}, Verdicts: []string{}}
	row := make([]byte, len(all))
	for i := range all {
		for j := range all {
			verdict, _, _, err := between(cluster, &all[i], &all[j])
			if err != nil {
				return nil, err
			}
			row[j] = verdict
		}
		m.Workloads, m.Verdicts = append(m.Workloads, all[i].Workload), append(m.Verdicts, string(row))
	}
	return m, nil
}

// NewPeers returns the verdicts for the flows from and to one workload. The `ref` parameter is the
// Ref of the workload. The cluster must contain the objects of the set.
func NewPeers(set *inventory.Set, cluster *query.Cluster, ref string) (*Peers, error) {
	all := ends(set)
	for i := range all {
		if all[i].Ref == ref {
			return peersOf(cluster, all, i)
		}
	}
	return nil, question.Errorf("workload", ref, "no workload of that name has a pod with an address")
}

func peersOf(cluster *query.Cluster, all []end, at int) (*Peers, error) {
	out := &Peers{TypeMeta: query.NewTypeMeta("Peers"), Workload: all[at].Workload, From: []Peer{}, To: []Peer{}}
	add := func(to *[]Peer, name string, source, destination int) error {
		verdict, allowed, denied, err := between(cluster, &all[source], &all[destination])
		if err == nil && verdict != NotEvaluated {
			*to = append(*to, Peer{Ref: name, Verdict: string(verdict), Allowed: texts(allowed), Denied: texts(denied)})
		}
		return err
	}
	for i := range all {
		if err := add(&out.From, all[i].Ref, i, at); err != nil {
			return nil, err
		}
		if err := add(&out.To, all[i].Ref, at, i); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// between evaluates the flows between the pods of two workloads. If both are the same workload, it
// evaluates the flows between two of its pods. If no policy applies to either side, it evaluates
// nothing and returns all ports as allowed.
func between(cluster *query.Cluster, from, to *end) (verdict byte, allowed, denied []port, err error) {
	if from == to {
		if from.second == nil {
			return NotEvaluated, nil, nil, nil
		}
		other := *to
		other.pod, to = to.second, &other
	}
	if len(from.Egress) == 0 && len(to.Ingress) == 0 {
		return Open, to.evaluate, nil, nil
	}
	evaluated := false
	for _, p := range to.evaluate {
		inFamilies, notInFamilies, err := onPort(cluster, from, to, p)
		if err != nil {
			return NotEvaluated, nil, nil, err
		}
		if inFamilies {
			allowed = append(allowed, p)
		}
		if notInFamilies {
			denied = append(denied, p)
		}
		evaluated = evaluated || inFamilies || notInFamilies
	}
	switch {
	case !evaluated:
		return NotEvaluated, nil, nil, nil
	case len(denied) == 0:
		return Allowed, allowed, nil, nil
	case len(allowed) == 0:
		return Denied, nil, denied, nil
	default:
		return Partly, allowed, denied, nil
	}
}

// onPort reports whether a flow on a port is allowed in at least one address family, and whether it
// is denied in at least one. If the pods have no family in common, both results are false.
func onPort(cluster *query.Cluster, from, to *end, p port) (allowed, denied bool, err error) {
	for src, dst := range family.Pairs(from.pod.Addresses, to.pod.Addresses, from.pod.Assigned || to.pod.Assigned) {
		verdict, err := cluster.Verdict(flow.Flow{Src: src, Dst: dst, Protocol: p.protocol, DstPort: p.number})
		if err != nil {
			return false, false, err
		}
		allowed, denied = allowed || verdict == rule.Allow, denied || verdict == rule.Deny
	}
	return allowed, denied, nil
}

func texts(ports []port) (out []string) {
	for _, p := range ports {
		out = append(out, p.String())
	}
	return out
}
