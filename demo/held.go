package demo

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/dataplane/tree"
	"github.com/sluicenet/sluice/test/lab"
)

// Held is a connection that was open, with bytes on their way, while policies
// changed.
type Held struct {
	From     string     `json:"from"`
	To       string     `json:"to"`
	Src      netip.Addr `json:"src"`
	Dst      netip.Addr `json:"dst"`
	Protocol string     `json:"protocol"`
	Port     uint16     `json:"port"`
	// Verdict is what the new policies say of it.
	Verdict string `json:"verdict"`
	// GoesOn reports whether bytes came after the dataplane had said that it
	// enforces the new policies.
	GoesOn bool `json:"goesOn"`
	// Last is when the last bytes came, counted from the publication, of one
	// that does not go on.
	Last *int64 `json:"lastNanoseconds,omitempty"`
	// Pause is the longest time in which no bytes came, around the publication,
	// of one that goes on.
	Pause  *int64 `json:"longestPauseNanoseconds,omitempty"`
	Agrees bool   `json:"agrees"`

	stream *stream
	pause  time.Duration
}

// String says what the connection does: "shop/web downloads from shop/db".
func (h *Held) String() string {
	verb, family := "exchanges with", "IPv6"
	if h.Protocol == flow.TCP.String() {
		verb = "downloads from"
	}
	if h.Dst.Is4() {
		family = "IPv4"
	}
	return fmt.Sprintf("%s %s %s, %s %d, %s", h.From, verb, h.To, h.Protocol, h.Port, family)
}

// mayGoOn reports whether the new policies allow it.
func (h *Held) mayGoOn() bool { return h.Verdict == rule.Allow.String() }

const (
	// quiet is how long streams are watched before anything else is tried, so
	// that what was on its way comes in.
	quiet = 250 * time.Millisecond
	// late is how long after the acknowledgement a packet may arrive that passed
	// the node before.
	late = 20 * time.Millisecond
)

// hold opens connections that the next tree has to cut, and some that it must
// not: over TCP and UDP one of each, as far as there are any. Without one to cut
// it holds none.
func (s *show) hold(ctx context.Context, before []*Cell) ([]*Held, error) {
	after, err := s.foresee()
	if err != nil {
		return nil, err
	}
	picked := pickHeld(before, after)
	if len(picked) == 0 {
		return nil, nil
	}
	var held []*Held
	err = s.page.step("opening connections that stay open", func(func(string)) (string, error) {
		cut := 0
		for _, c := range picked {
			stream, err := openStream(ctx, c)
			if err != nil {
				return "", fmt.Errorf("holding a connection from %s to %s, %s, open: %w", c.From.Name, c.To.Name, c.Port, err)
			}
			held = append(held, &Held{
				From: c.From.Name, To: c.To.Name, Src: c.Src, Dst: c.Dst,
				Protocol: c.Port.Protocol.String(), Port: c.Port.Number,
				Verdict: c.Policies.String(), stream: stream,
			})
			if c.Policies != rule.Allow {
				cut++
			}
		}
		return fmt.Sprintf("opened %s that stay open: the change must cut %d of them", count(uint64(len(held)), "connection"), cut), nil
	})
	if err != nil {
		release(held)
	}
	return held, err
}

func release(held []*Held) {
	for _, h := range held {
		h.stream.close()
	}
}

// foresee asks the tree that is about to be published about every connection.
func (s *show) foresee() (cells []*Cell, err error) {
	if err := s.build(); err != nil {
		return nil, err
	}
	aside, err := lab.NewStateDir()
	if err != nil {
		return nil, err
	}
	defer func() { _ = aside.Close() }()
	trees, err := tree.NewPublisher(aside.Path())
	if err != nil {
		return nil, err
	}
	if _, err := trees.Publish(s.builder); err != nil {
		return nil, err
	}
	cells = grid(s.stage.ends, s.Ports)
	return cells, judge(filepath.Join(aside.Path(), "tree", "current"), cells)
}

// pickHeld picks out of two rounds of one grid, for TCP and UDP: a connection
// that opened before and must be cut, and one that opened and must go on. Of
// those to cut, IPv4 over TCP and IPv6 over UDP; of the others, one in which the
// pod that now refuses has opened a connection itself.
func pickHeld(before, after []*Cell) []*Cell {
	var cut, kept []*Cell
	for _, protocol := range []flow.Protocol{flow.TCP, flow.UDP} {
		best := func(rank func(*Cell) int) *Cell {
			var out *Cell
			for i, c := range after {
				if c.Port.Protocol == protocol && before[i].Wire == lab.Connected && rank(c) >= 0 && (out == nil || rank(c) > rank(out)) {
					out = c
				}
			}
			return out
		}
		refused := best(func(c *Cell) int {
			if c.Policies == rule.Allow {
				return -1
			}
			return bit(c.From.Kind == kindPod, 2) + bit(c.Dst.Is4() == (protocol == flow.TCP), 1)
		})
		if refused == nil {
			continue
		}
		cut = append(cut, refused)
		allowed := best(func(c *Cell) int {
			if c.Policies != rule.Allow {
				return -1
			}
			return bit(c.From == refused.To || c.To == refused.From, 8) + bit(c.From == refused.From || c.To == refused.To, 4) +
				bit(c.From.Kind != kindNode && c.To.Kind != kindNode, 16) + bit(c.Egress.Rule != nil || c.Ingress.Rule != nil, 2) +
				bit(c.Dst.Is4() != (protocol == flow.TCP), 1)
		})
		if allowed != nil {
			kept = append(kept, allowed)
		}
	}
	return slices.Concat(cut, kept)
}

func bit(set bool, value int) int {
	if set {
		return value
	}
	return 0
}

// watch lets what was on its way come in.
func watch(ctx context.Context, held []*Held) error {
	if len(held) == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(quiet):
	}
	for _, h := range held {
		_, h.pause = h.stream.times()
	}
	return nil
}

// settle finds out what became of the held connections.
func settle(ctx context.Context, held []*Held, published time.Time, enforced time.Duration) error {
	for _, h := range held {
		if h.mayGoOn() {
			limited, cancel := context.WithTimeout(ctx, patience)
			h.GoesOn = h.stream.moves(limited)
			cancel()
		}
		last, _ := h.stream.times()
		if !h.mayGoOn() {
			h.GoesOn = last.Sub(published) > enforced+late
		}
		h.Agrees = h.GoesOn == h.mayGoOn()
		if h.GoesOn {
			h.Pause = new(h.pause.Nanoseconds())
		} else {
			h.Last = new(last.Sub(published).Nanoseconds())
		}
	}
	return ctx.Err()
}

// held tells what became of connections that were open.
func (p *page) held(r *Round) {
	if len(r.Held) == 0 {
		return
	}
	p.line("    What was open. Times count from the publication; it was acknowledged after %s.", milliseconds(r.Enforced))
	for _, h := range r.Held {
		sign, style := refused, red
		if h.GoesOn {
			sign, style = opens, green
		}
		wrong := ""
		if !h.Agrees {
			style, wrong = alarm, "  "+p.paint(alarm, "differs!")
		}
		p.line("    %s %s  %s%s", p.paint(style, string(sign)), fit(h.fate(), fateWidth), h, wrong)
	}
}

// fateWidth fits "goes on, longest pause 123.4 ms".
const fateWidth = 31

func (h *Held) fate() string {
	switch {
	case h.GoesOn:
		return "goes on, longest pause " + milliseconds(*h.Pause)
	case *h.Last < 0 && !h.mayGoOn():
		// Nothing more came through between two beats of the stream.
		return "silent at once"
	case *h.Last < 0:
		return "silent since " + milliseconds(-*h.Last) + " before"
	default:
		return "silent after " + milliseconds(*h.Last)
	}
}

func milliseconds(nanoseconds int64) string {
	return fmt.Sprintf("%.1f ms", float64(nanoseconds)/1e6)
}
