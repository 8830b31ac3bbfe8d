package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/page"
	"github.com/sluicenet/sluice/cmd/sluice-demo/internal/topology"
	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/ui"
	"github.com/sluicenet/sluice/ui/source"
)

// keep prints commands that the user can run in another terminal, and waits until the context
// is canceled. If the dataplane ends during this time, for example because the user kills it,
// keep prints how this affects connections.
func (d *demo) keep(ctx context.Context) error {
	namespaces, enter, err := d.namespaces()
	if err != nil {
		return err
	}
	commands, err := d.commands(enter)
	if err != nil {
		return err
	}
	d.page.Hints(namespaces, commands)
	if d.Page {
		server, err := d.servePage(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = server.Close() }()
	}
	select {
	case <-ctx.Done():
	case <-d.plane.Ended():
		d.page.Line("\nThe dataplane ended (%s). Its rules remain: accepted connections continue, and new ones of isolated pods are dropped.", d.plane.State())
		<-ctx.Done()
	}
	d.page.Overwrite("")
	d.page.Line("\n  removing everything")
	return nil
}

// namespaces returns, for each network namespace, a command that enters this network namespace. The
// network namespaces have no names, so each command contains the ID of a thread that runs in the
// network namespace. The result `enter` maps each host to the command for the host's network
// namespace.
func (d *demo) namespaces() (hints []page.Hint, enter map[*lab.Host]string, err error) {
	enter = map[*lab.Host]string{}
	for _, e := range d.topology.Ends {
		if enter[e.Host] != "" {
			continue
		}
		thread, err := threadOf(e.Host)
		if err != nil {
			return nil, nil, err
		}
		enter[e.Host] = fmt.Sprintf("nsenter -t %d -n", thread)
		purpose := e.Name
		if e.Kind == topology.KindOutside {
			purpose = "everything outside"
		}
		hints = append(hints, page.Hint{Purpose: purpose, Command: enter[e.Host]})
	}
	return hints, enter, nil
}

// servePage serves a web page with the manifests of the cluster and the flows of the dataplane, and
// prints its address.
func (d *demo) servePage(ctx context.Context) (*ui.Server, error) {
	files, err := source.NewFiles([]string{filepath.Join(d.state.Path(), manifestsFile)}, nil)
	if err != nil {
		return nil, err
	}
	files.Title, files.StateDir = "demo", d.state.Path()
	server, err := ui.Start(ctx, files, 0)
	if err != nil {
		return nil, err
	}
	d.page.Line("\n  The web page, for one browser: %s", server.URL())
	return server, nil
}

// threadOf returns the ID of the thread that runs in the network namespace of a host.
func threadOf(h *lab.Host) (id int, err error) {
	err = h.Do(func() error {
		id = unix.Gettid()
		return nil
	})
	return id, err
}

// commands returns commands for the user. They show the rules, the status and the denied flows,
// open an allowed and a denied connection, publish edited manifests, and kill the dataplane. The
// `enter` parameter maps each host to the command that enters the host's network namespace.
func (d *demo) commands(enter map[*lab.Host]string) ([]page.Hint, error) {
	out := []page.Hint{
		{Purpose: "show the rules", Command: enter[d.topology.Node.Host] + " nft list table inet sluice"},
		{Purpose: "show the status", Command: fmt.Sprintf("%s status --state-dir %s", d.Program, d.state.Path())},
		{Purpose: "show denied flows", Command: fmt.Sprintf("%s flows --denied --state-dir %s", d.Program, d.state.Path())},
	}
	if command, ok := d.attempt(enter, lab.Connected); ok {
		out = append(out, page.Hint{Purpose: "an allowed connection", Command: command})
	}
	if command, ok := d.attempt(enter, lab.TimedOut); ok {
		out = append(out, page.Hint{Purpose: "a denied connection", Command: command})
	}
	path, err := d.writeManifests()
	if err != nil {
		return nil, err
	}
	return append(out,
		page.Hint{Purpose: "edit the policies in", Command: path},
		page.Hint{Purpose: "enforce the edited file", Command: fmt.Sprintf("%s compile -f %s --node %s --state-dir %s", d.Program, path, topology.NodeName, d.state.Path())},
		page.Hint{Purpose: "kill the dataplane", Command: fmt.Sprintf("kill -9 %d", d.plane.PID())},
	), nil
}

// attempt returns a shell command that opens a TCP connection between two pods over IPv4. It
// chooses a connection whose destination pod has ingress policies, and that had the result `want`
// in the last round. If there is no such connection, ok is false.
func (d *demo) attempt(enter map[*lab.Host]string, want lab.Result) (command string, ok bool) {
	for _, a := range d.report.Rounds[len(d.report.Rounds)-1].Attempts {
		if a.Result == want && a.Port.Protocol == flow.TCP && a.Dst.Is4() && a.From.Kind == topology.KindPod && a.To.Kind == topology.KindPod && (len(a.Ingress.IsolatedBy) > 0 || a.Ingress.Tier != "") {
			return fmt.Sprintf("%s timeout 1 bash -c '</dev/tcp/%s/%d' && echo connected || echo not connected", enter[a.From.Host], a.Dst, a.Port.Number), true
		}
	}
	return "", false
}

// manifestsFile is the file in the state directory to which the demo writes the manifests of
// the cluster.
const manifestsFile = "cluster.yaml"

// writeManifests writes the manifests of the cluster to a file, so that the user
// can edit the policies. It returns the path of the file.
func (d *demo) writeManifests() (path string, err error) {
	text, err := topology.Manifests(d.topology.Snapshot)
	if err != nil {
		return "", err
	}
	path = filepath.Join(d.state.Path(), manifestsFile)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("writing manifests: %w", err)
	}
	return path, nil
}
