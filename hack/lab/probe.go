package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/test/lab"
	"github.com/sluicenet/sluice/test/labcluster"
)

const (
	// probeTime is the time after which a connection without a reply counts as
	// denied.
	probeTime = 2 * time.Second
	// headerTime is the time within which a client must send the header of a request.
	headerTime = 5 * time.Second
	// socketName is the name of the socket for requests. The socket is in the
	// directory of the kubeconfig.
	socketName = "lab.sock"
)

// errDenied means that a probe could not open a connection.
var errDenied = errors.New("denied")

// outcome is the result of opening one connection.
type outcome struct{ Address, Result string }

// serveProbes serves requests for probes on a socket in the directory of the kubeconfig. The
// command `lab probe` cannot open the connections itself, because only the process that created
// a pod can open connections from the pod.
func serveProbes(cluster *labcluster.Cluster) (*http.Server, error) {
	path := filepath.Join(filepath.Dir(cluster.Kubeconfig()), socketName)
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening for probes: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /probe", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		out, err := probe(r.Context(), cluster, query.Get("from"), query.Get("to"), query.Get("port"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(out) // Ignore the error: it means that the client has closed the connection.
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: headerTime}
	go func() { _ = server.Serve(listener) }() // Serve returns when the server is closed.
	return server, nil
}

// probe opens one connection to each address of the destination and returns the results.
func probe(ctx context.Context, cluster *labcluster.Cluster, from, to, port string) ([]outcome, error) {
	source, err := end(cluster, from)
	if err != nil {
		return nil, err
	}
	number, name, _ := strings.Cut(port, "/")
	if name == "" {
		name = "TCP"
	}
	protocol, err := flow.ParseProtocol(name)
	if err != nil {
		return nil, err
	}
	parsed, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port %q: want a number, such as 80 or 53/UDP", port)
	}
	var addresses []netip.Addr
	if address, err := netip.ParseAddr(to); err == nil {
		addresses = []netip.Addr{address}
	} else {
		target, err := end(cluster, to)
		if err != nil {
			return nil, err
		}
		addresses = target.Addresses
	}
	var out []outcome
	for _, address := range addresses {
		result, err := source.Host.Probe(ctx, protocol, netip.Addr{}, netip.AddrPortFrom(address, uint16(parsed)), probeTime)
		if err != nil {
			return nil, err
		}
		out = append(out, outcome{address.String(), result.String()})
	}
	return out, nil
}

// end returns the source or destination that the text names. NAMESPACE/NAME is a pod. A text
// without a slash is the name of a node.
func end(cluster *labcluster.Cluster, text string) (labcluster.End, error) {
	namespace, name, isPod := strings.Cut(text, "/")
	if isPod {
		return cluster.End(namespace, name)
	}
	for _, n := range cluster.Nodes() {
		if n.Name() == text {
			return labcluster.End{Name: text, Host: n.Host().Host, Addresses: n.Host().Addresses()}, nil
		}
	}
	return labcluster.End{}, fmt.Errorf("%q: want NAMESPACE/NAME of a pod, or the name of a node", text)
}

// requestProbe sends a request for a probe to the running lab. It uses the environment variable
// KUBECONFIG to find the lab, because the socket is in the directory of the lab's kubeconfig.
func requestProbe(ctx context.Context, args []string) error {
	const usage = "want: lab probe FROM TO PORT[/PROTOCOL], such as lab probe default/a default/b 80"
	if len(args) != 3 {
		return errors.New(usage)
	}
	kubeconfig := os.Getenv("KUBECONFIG")
	if kubeconfig == "" {
		return errors.New("KUBECONFIG is not set: set it as in the output of the lab")
	}
	socket := filepath.Join(filepath.Dir(kubeconfig), socketName)
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	query := url.Values{"from": {args[0]}, "to": {args[1]}, "port": {args[2]}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://lab/probe?"+query.Encode(), http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("connecting to the lab of %s: %w", kubeconfig, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return errors.New(strings.TrimSpace(string(text)))
	}
	var outcomes []outcome
	if err := json.NewDecoder(response.Body).Decode(&outcomes); err != nil {
		return fmt.Errorf("reading the response of the lab: %w", err)
	}
	err = nil
	for _, o := range outcomes {
		fmt.Printf("%s to %s port %s (%s): %s\n", args[0], args[1], args[2], o.Address, o.Result)
		if o.Result != lab.Connected.String() {
			err = errDenied
		}
	}
	return err
}
