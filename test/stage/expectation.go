package stage

import (
	"errors"
	"path"
	"strconv"
	"strings"
	"testing"

	"github.com/sluicenet/sluice/dataplane/flow"
)

// Any is the pattern that matches the names of all sources and destinations.
const Any = "any"

// Expectation is the parsed form of one line of expectations.
type Expectation struct {
	// Line is the text of the line. Messages quote this text.
	Line string
	// From is the name of the source, and To is the name of the destination. Both can be
	// patterns.
	From, To string
	// EveryProtocol means that the expectation applies to all protocols and ports, because the
	// line contains no protocol.
	EveryProtocol bool
	Protocol      flow.Protocol
	// Port is 0 if the protocol has no ports.
	Port uint16
	// Allowed is the expected result. It has no meaning if Egress and Ingress are set.
	Allowed bool
	// Egress and Ingress are the expected reasons of the egress side and of the ingress side.
	Egress, Ingress string
}

// Expectations parses lines of text and returns one expectation for each line. It skips empty
// lines.
func Expectations(t testing.TB, lines string) []Expectation {
	t.Helper()
	var out []Expectation
	for line := range strings.Lines(lines) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		e, err := parseExpectation(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		out = append(out, e)
	}
	return out
}

func parseExpectation(line string) (Expectation, error) {
	e := Expectation{Line: line}
	flowText, sides, hasSides := strings.Cut(line, "|")
	fields := strings.Fields(flowText)
	if hasSides {
		egress, ingress, ok := strings.Cut(sides, "|")
		if !ok {
			return e, errors.New("want FLOW | EGRESS | INGRESS")
		}
		e.Egress, e.Ingress = strings.TrimSpace(egress), strings.TrimSpace(ingress)
	} else if err := e.parseResult(&fields); err != nil {
		return e, err
	}
	if len(fields) < 3 || fields[1] != "->" {
		return e, errors.New("want FROM -> TO [PROTOCOL [PORT]]")
	}
	e.From, e.To = fields[0], fields[2]
	return e, e.parseProtocol(fields[3:])
}

// parseResult parses the result, which is the last field of a line, and removes this field from
// the list of fields.
func (e *Expectation) parseResult(fields *[]string) error {
	last := len(*fields) - 1
	if last < 0 || (*fields)[last] != "allowed" && (*fields)[last] != "denied" {
		return errors.New("want allowed or denied at the end")
	}
	e.Allowed = (*fields)[last] == "allowed"
	*fields = (*fields)[:last]
	return nil
}

func (e *Expectation) parseProtocol(fields []string) error {
	if len(fields) == 0 {
		e.EveryProtocol = true
		return nil
	}
	var err error
	if e.Protocol, err = flow.ParseProtocol(fields[0]); err != nil {
		return err
	}
	if len(fields) > 2 || e.Protocol.HasPorts() != (len(fields) == 2) {
		return errors.New("want a port exactly if the protocol has ports")
	}
	if len(fields) == 2 {
		port, err := strconv.ParseUint(fields[1], 10, 16)
		if err != nil {
			return err
		}
		e.Port = uint16(port)
	}
	return nil
}

// Matches reports whether the expectation applies to a connection with the given source,
// destination, protocol and port.
func (e *Expectation) Matches(from, to string, protocol flow.Protocol, port uint16) bool {
	return Match(e.From, from) && Match(e.To, to) && (e.EveryProtocol || e.Protocol == protocol && e.Port == port)
}

// Last returns the last expectation that applies to a connection. So a test can write a general
// expectation first, and exceptions in later lines. If no expectation applies, Last fails the
// test.
func Last(t testing.TB, all []Expectation, from, to string, protocol flow.Protocol, port uint16) Expectation {
	t.Helper()
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Matches(from, to, protocol, port) {
			return all[i]
		}
	}
	t.Fatalf("nothing is expected for %s -> %s %s %d", from, to, protocol, port)
	return Expectation{}
}

// Match reports whether a name matches a pattern.
func Match(pattern, name string) bool {
	if pattern == Any || pattern == name {
		return true
	}
	matched, err := path.Match(pattern, name)
	return err == nil && matched
}
