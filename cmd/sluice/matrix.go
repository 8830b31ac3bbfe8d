package main

import (
	"net/netip"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/inventory"
	"github.com/sluicenet/sluice/judge"
	"github.com/sluicenet/sluice/policy"
)

// maxMatrix bounds the ends of a matrix: it asks for every pair of them.
const maxMatrix = 3000

// matrixCommand shows who reaches whom.
func matrixCommand() *cobra.Command {
	var in manifests
	var out output
	var ask matrixQuestion
	cmd := &cobra.Command{
		Use:   "matrix [-f DIR] --port N",
		Short: "Show who reaches whom, as a table",
		Long: `Shows which pod reaches which on a port: rows open the connection, columns
receive it. Pods of one Deployment, StatefulSet or other controller that reach and
are reached alike are one line.

It judges by the live cluster of the kubeconfig, or with -f by manifests; their pods
without an address get one for planning, from 198.18.0.0/15 and 2001:2::/48.`,
		Example: `  sluice matrix --port 5432 -n shop
  sluice matrix -f manifests/ --port 5432
  sluice matrix -f manifests/ --port 53 --protocol UDP -n shop -n kube-system
  sluice matrix -f manifests/ --port 80 --address 203.0.113.7 -o json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			return matrix(cmd, &in, &out, &ask)
		},
	}
	in.orCluster(cmd)
	out.addFlag(cmd)
	ask.target.addFlags(cmd)
	cmd.Flags().StringArrayVarP(&ask.namespaces, "namespace", "n", nil, "only pods of this `namespace`; repeatable")
	cmd.Flags().StringArrayVar(&ask.addresses, "address", nil, "an `address` outside to add to the table; repeatable")
	return cmd
}

// matrixQuestion is what to show.
type matrixQuestion struct {
	target     target
	namespaces []string
	addresses  []string
}

func matrix(cmd *cobra.Command, in *manifests, out *output, ask *matrixQuestion) (err error) {
	protocol, port, err := ask.target.numbers()
	if err != nil {
		return err
	}
	set, err := in.read(cmd)
	if err != nil {
		return err
	}
	planAddresses(cmd.ErrOrStderr(), set)
	snapshot := set.Snapshot()
	noteMeaning(cmd.ErrOrStderr(), set, snapshot)
	ends, err := ask.ends(set, snapshot)
	if err != nil {
		return err
	}
	cluster := judge.New(snapshot)
	defer closing(cluster, &err)
	done := progress(cmd.ErrOrStderr(), "judging")
	cells, err := judgePairs(cluster, ends, protocol, port)
	done()
	if err != nil {
		return err
	}
	table := newTable(ends, cells, protocol, port)
	if out.json() {
		return writeJSON(cmd.OutOrStdout(), table.report())
	}
	return table.write(cmd.OutOrStdout())
}

// matrixEnd is a row and a column before pods are put together.
type matrixEnd struct {
	name     string
	workload string
	addrs    []netip.Addr
}

// ends lists the pods to show, by name, then the addresses.
func (q *matrixQuestion) ends(set *inventory.Set, s *policy.Snapshot) ([]matrixEnd, error) {
	var ends []matrixEnd
	for i := range set.Pods {
		p := &set.Pods[i]
		if len(q.namespaces) > 0 && !slices.Contains(q.namespaces, p.Pod.Namespace) || p.HostNetwork || p.Finished {
			continue
		}
		e, err := podEnd(s, "namespace", p)
		if err != nil {
			continue
		}
		ends = append(ends, matrixEnd{name: e.Name, workload: p.Pod.Namespace + "/" + p.Workload, addrs: e.addresses})
	}
	switch {
	case len(ends) == 0 && len(q.namespaces) > 0:
		return nil, wrongf("-n %s: no pod there has an address", few(q.namespaces))
	case len(ends) == 0:
		return nil, wrongf("no pod among the manifests has an address; give pods too, such as kubectl get pods -A -o yaml writes")
	case len(ends) > maxMatrix:
		return nil, wrongf("%d pods are too many for one table; choose namespaces with -n", len(ends))
	}
	slices.SortFunc(ends, func(a, b matrixEnd) int { return comparePods(a.name, b.name) })
	for _, text := range q.addresses {
		addr, err := parseEnd("--address", text)
		if err != nil {
			return nil, inputError{err}
		}
		ends = append(ends, matrixEnd{name: addr.String(), addrs: []netip.Addr{addr}})
	}
	return ends, nil
}

// cell is the answer for one pair.
type cell byte

const (
	// none: there is nothing to judge, for both are one or have no family in
	// common.
	none cell = iota
	refused
	allowed
)

func (c cell) String() string {
	switch c {
	case allowed:
		return "yes"
	case refused:
		return "no"
	default:
		return "."
	}
}

// judgePairs judges every end to every other: cells[from][to].
func judgePairs(cluster *judge.Cluster, ends []matrixEnd, protocol flow.Protocol, port int) ([][]cell, error) {
	cells := make([][]cell, len(ends))
	for i := range ends {
		cells[i] = make([]cell, len(ends))
		for j := range ends {
			src, dst, ok := sameFamily(ends[i].addrs, ends[j].addrs)
			if i == j || !ok {
				continue
			}
			f, err := newFlow(src, dst, protocol, port)
			if err != nil {
				return nil, err
			}
			verdict, err := cluster.Verdict(f)
			if err != nil {
				return nil, err
			}
			cells[i][j] = refused
			if verdict == rule.Allow {
				cells[i][j] = allowed
			}
		}
	}
	return cells, nil
}
