// Package decisions contains the decisions for many flows as one result.
package decisions

import (
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/report"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/internal/table"
	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/flowline"
)

// List contains the decisions for flows, in the order of the flows.
type List struct {
	query.TypeMeta
	Items []Item `json:"items"`
}

// Item is a flow and its decision.
type Item struct {
	Src      netip.Addr `json:"src"`
	Dst      netip.Addr `json:"dst"`
	Protocol string     `json:"protocol"`
	// Port is the destination port, or null if the protocol has no ports.
	Port *int `json:"port"`
	query.Decision
}

// Read reads one flow per line, as Cluster.EachLine does, and evaluates the flows.
func Read(c *query.Cluster, flows io.Reader, name string) (*List, error) {
	l := &List{TypeMeta: query.NewTypeMeta("DecisionList"), Items: []Item{}}
	err := c.EachLine(flows, name, func(f flow.Flow, d *query.Decision) error {
		item := Item{Src: f.Src, Dst: f.Dst, Protocol: f.Protocol.String(), Decision: *d}
		if f.Protocol.HasPorts() {
			port := int(f.DstPort)
			item.Port = &port
		}
		l.Items = append(l.Items, item)
		return nil
	})
	return l, err
}

// WriteText writes the decisions as a table.
func (l *List) WriteText(out io.Writer) error {
	return l.write(out, table.New("verdict", "protocol", "source", "destination", "port", "egress", "ingress").Right(4), false)
}

// WriteWide writes the decisions as a table that also contains the policies that isolate the pods.
func (l *List) WriteWide(out io.Writer) error {
	t := table.New("verdict", "protocol", "source", "destination", "port", "egress", "ingress", "isolated for egress by", "isolated for ingress by")
	return l.write(out, t.Right(4), true)
}

func (l *List) write(out io.Writer, t *table.Table, wide bool) error {
	for i := range l.Items {
		d := &l.Items[i]
		port := ""
		if d.Port != nil {
			port = strconv.Itoa(*d.Port)
		}
		row := []string{
			d.Verdict, d.Protocol, d.Src.String(), d.Dst.String(), table.Cell(port),
			flowline.Side(rule.Egress, &d.Egress), flowline.Side(rule.Ingress, &d.Ingress),
		}
		if wide {
			row = append(row, isolation(&d.Egress), isolation(&d.Ingress))
		}
		t.Row(row...)
	}
	if err := t.Write(out, ""); err != nil {
		return fmt.Errorf("writing decisions: %w", err)
	}
	return nil
}

func isolation(s *report.Side) string { return table.Cell(strings.Join(s.IsolatedBy, ", ")) }
