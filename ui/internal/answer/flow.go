package answer

import (
	"net/http"

	"github.com/sluicenet/sluice/query"
	"github.com/sluicenet/sluice/query/propose"
	"github.com/sluicenet/sluice/query/reach"
)

// peers answers who can reach a workload, and whom it can reach.
func (s *Server) peers(v *view, r *http.Request) (out any, err error) {
	err = v.use(func(c *query.Cluster) error {
		out, err = reach.NewPeers(v.set, c, r.FormValue("workload"))
		return err
	})
	return out, err
}

// explain answers whether a flow is allowed, and why.
func (s *Server) explain(v *view, r *http.Request) (out any, err error) {
	err = v.use(func(c *query.Cluster) error {
		out, err = c.Explain(questionOf(r))
		return err
	})
	return out, err
}

// allow answers which policies would allow a flow.
func (s *Server) allow(v *view, r *http.Request) (out any, err error) {
	err = v.use(func(c *query.Cluster) error {
		out, err = propose.New(v.set, c, questionOf(r))
		return err
	})
	return out, err
}

func questionOf(r *http.Request) query.ExplainQuestion {
	q := query.ExplainQuestion{From: r.FormValue("from"), To: r.FormValue("to")}
	q.Port, q.Protocol = r.FormValue("port"), r.FormValue("protocol")
	if q.Protocol == "" {
		q.Protocol = "TCP"
	}
	return q
}
