package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
)

// keep leaves everything running until the context ends, and says how to look
// around. Somebody may stop the dataplane meanwhile: that is worth a look, too.
func (s *show) keep(ctx context.Context) error {
	look, err := s.lookAround()
	if err != nil {
		return err
	}
	s.page.write(look)
	select {
	case <-ctx.Done():
	case <-s.plane.Ended():
		s.page.line("\nThe dataplane ended (%s). Its rules stay: what was accepted goes on, and of isolated pods nothing new opens.", s.plane.State())
		<-ctx.Done()
	}
	s.page.over("")
	s.page.line("\n  taking everything down")
	return nil
}

// lookAround is what to type in another terminal.
type lookAround struct {
	places, commands []hint
}

// hint is a command and what it is for.
type hint struct{ what, command string }

// lookAround finds commands that work now. Namespaces have no names: each is
// entered by a thread that is in it.
func (s *show) lookAround() (*lookAround, error) {
	out := &lookAround{}
	enter := map[*lab.Host]string{}
	for _, e := range s.stage.ends {
		if enter[e.host] != "" {
			continue
		}
		thread, err := threadOf(e.host)
		if err != nil {
			return nil, err
		}
		enter[e.host] = fmt.Sprintf("nsenter -t %d -n", thread)
		what := e.Name
		if e.Kind == kindOutside {
			what = "everything outside"
		}
		out.places = append(out.places, hint{what, enter[e.host]})
	}
	out.commands = append(out.commands,
		hint{"the rules", enter[s.stage.node.Host] + " nft list table inet sluice"},
		hint{"what is enforced", fmt.Sprintf("%s status --state-dir %s", s.Name, s.state.Path())},
		hint{"what is refused now", fmt.Sprintf("%s flows --denied --state-dir %s", s.Name, s.state.Path())},
	)
	out.commands = append(out.commands, s.trials(enter)...)
	policies, err := s.policyHints()
	if err != nil {
		return nil, err
	}
	out.commands = append(out.commands, policies...)
	out.commands = append(out.commands, hint{"a dataplane that dies", fmt.Sprintf("kill -9 %d", s.plane.PID())})
	return out, nil
}

// threadOf gives the thread that lives in a host's namespace.
func threadOf(h *lab.Host) (id int, err error) {
	err = h.Do(func() error {
		id = unix.Gettid()
		return nil
	})
	return id, err
}

// trials open a connection that is allowed, and one that is not.
func (s *show) trials(enter map[*lab.Host]string) []hint {
	var out []hint
	last := s.report.Rounds[len(s.report.Rounds)-1]
	for _, want := range []lab.Result{lab.Connected, lab.TimedOut} {
		for _, c := range last.cells {
			if c.Wire == want && c.Port.Protocol == flow.TCP && c.Dst.Is4() && c.From.Kind == kindPod && c.To.Kind == kindPod && len(c.Ingress.IsolatedBy) > 0 {
				what := "a connection that opens"
				if want == lab.TimedOut {
					what = "one that does not"
				}
				command := fmt.Sprintf("%s timeout 1 bash -c '</dev/tcp/%s/%d' && echo opens || echo does not", enter[c.From.host], c.Dst, c.Port.Number)
				out = append(out, hint{what, command})
				break
			}
		}
	}
	return out
}

// clusterFile holds the cluster as manifests, in the state directory.
const clusterFile = "cluster.yaml"

// policyHints writes the cluster down, for whoever wants to change it.
func (s *show) policyHints() ([]hint, error) {
	text, err := manifests(s.stage.snapshot)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.state.Path(), clusterFile)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, fmt.Errorf("writing manifests: %w", err)
	}
	return []hint{
		{"the policies: edit", path},
		{"and put in force", fmt.Sprintf("%s compile -f %s --node %s --state-dir %s", s.Name, path, nodeName, s.state.Path())},
	}, nil
}

// write lists the hints.
func (p *page) write(l *lookAround) {
	p.line("\n%s", p.paint(bold, "Everything runs on until you press Ctrl-C"))
	p.line("  Look around from another terminal, as root. A shell in the network of:")
	p.hints(l.places)
	p.line("  More to try:")
	p.hints(l.commands)
}

func (p *page) hints(all []hint) {
	wide := 0
	for _, h := range all {
		wide = max(wide, len(h.what))
	}
	for _, h := range all {
		p.line("    %s%s  %s", h.what, p.paint(faint, strings.Repeat(" ", wide-len(h.what))), p.paint(bold, h.command))
	}
}
