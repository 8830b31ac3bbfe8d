package agnhost

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// program is the path of agnhost in its image.
const program = "/agnhost"

// Ports returns the ports on which agnhost listens in a container. The command of the container
// is either empty, or runs agnhost, directly or in a shell. Ports ignores the ports that the
// container declares.
func Ports(c *corev1.Container) ([]corev1.ContainerPort, error) {
	if len(c.Command) == 0 {
		return nil, nil // The default command of the image is `agnhost pause`.
	}
	words := strings.Fields(c.Command[len(c.Command)-1])
	if len(words) < 2 || words[0] != program {
		return nil, fmt.Errorf("container %s: command %q does not run %s", c.Name, c.Command, program)
	}
	var out []corev1.ContainerPort
	var err error
	switch words[1] {
	case "serve-hostname":
		out, err = serveHostname(words[2:])
	case "netexec":
		out, err = netexec(words[2:])
	case "porter":
		out, err = porter(c.Env)
	default:
		err = fmt.Errorf("command %s is not supported", words[1])
	}
	if err != nil {
		return nil, fmt.Errorf("container %s: %w", c.Name, err)
	}
	return out, nil
}

// newFlags returns an empty set of flags. Its Parse method returns errors, but prints nothing.
func newFlags(command string) *flag.FlagSet {
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

func serveHostname(arguments []string) ([]corev1.ContainerPort, error) {
	flags := newFlags("serve-hostname")
	tcp := flags.Bool("tcp", false, "")
	udp := flags.Bool("udp", false, "")
	http := flags.Bool("http", true, "")
	port := flags.Int("port", 9376, "")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	var out []corev1.ContainerPort
	if *tcp || *http {
		out = append(out, listen(corev1.ProtocolTCP, *port))
	}
	if *udp {
		out = append(out, listen(corev1.ProtocolUDP, *port))
	}
	return out, nil
}

func netexec(arguments []string) ([]corev1.ContainerPort, error) {
	flags := newFlags("netexec")
	http := flags.Int("http-port", 8080, "")
	udp := flags.Int("udp-port", 8081, "")
	flags.String("udp-listen-addresses", "", "")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	return []corev1.ContainerPort{listen(corev1.ProtocolTCP, *http), listen(corev1.ProtocolUDP, *udp)}, nil
}

// porterPrefixes contains the prefixes of the environment variables that `agnhost porter` reads.
var porterPrefixes = map[string]corev1.Protocol{
	"SERVE_PORT_":      corev1.ProtocolTCP,
	"SERVE_SCTP_PORT_": corev1.ProtocolSCTP,
}

// porter returns the ports on which `agnhost porter` listens. The names of its environment
// variables contain the port numbers, for example SERVE_SCTP_PORT_9003.
func porter(variables []corev1.EnvVar) ([]corev1.ContainerPort, error) {
	var out []corev1.ContainerPort
	for _, v := range variables {
		for prefix, protocol := range porterPrefixes {
			number, found := strings.CutPrefix(v.Name, prefix)
			if !found {
				continue
			}
			port, err := strconv.Atoi(number)
			if err != nil {
				return nil, fmt.Errorf("variable %s: %w", v.Name, err)
			}
			out = append(out, listen(protocol, port))
		}
	}
	return out, nil
}

func listen(protocol corev1.Protocol, port int) corev1.ContainerPort {
	return corev1.ContainerPort{Protocol: protocol, ContainerPort: int32(port)}
}
