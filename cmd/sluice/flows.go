package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/dataplane/rule"
	"github.com/sluicenet/sluice/judge"
)

// parseFlow reads a flow. Fields that it does not know are passed over, so that
// a line may carry more for its own reader.
func parseFlow(line []byte) (flow.Flow, error) {
	var in struct {
		Src      string          `json:"src"`
		Dst      string          `json:"dst"`
		Protocol json.RawMessage `json:"protocol"`
		Port     *int            `json:"port"`
	}
	if err := json.Unmarshal(line, &in); err != nil {
		return flow.Flow{}, flowSyntax(err)
	}
	src, err := parseEnd("src", in.Src)
	if err != nil {
		return flow.Flow{}, err
	}
	dst, err := parseEnd("dst", in.Dst)
	if err != nil {
		return flow.Flow{}, err
	}
	if len(in.Protocol) == 0 {
		return flow.Flow{}, errors.New("protocol: missing; want TCP, UDP, SCTP, ICMP or a number")
	}
	protocol, err := flow.ParseProtocol(string(bytes.Trim(in.Protocol, `"`)))
	if err != nil {
		return flow.Flow{}, err
	}
	if in.Port == nil {
		return newFlow(src, dst, protocol, -1)
	}
	if *in.Port < 0 || *in.Port > 65535 {
		return flow.Flow{}, fmt.Errorf("port: %d is not a port; want 0 to 65535", *in.Port)
	}
	return newFlow(src, dst, protocol, *in.Port)
}

// newFlow checks that the parts fit each other. Port -1 is none. ICMP is that
// of the addresses' family.
func newFlow(src, dst netip.Addr, protocol flow.Protocol, port int) (flow.Flow, error) {
	if src.Is4() != dst.Is4() {
		return flow.Flow{}, fmt.Errorf("src %s and dst %s: one is IPv4 and the other IPv6; a flow has one family", src, dst)
	}
	switch {
	case protocol == flow.ICMP && src.Is6():
		protocol = flow.ICMPv6
	case protocol == flow.ICMPv6 && src.Is4():
		protocol = flow.ICMP
	}
	f := flow.Flow{Src: src, Dst: dst, Protocol: protocol}
	if protocol.HasPorts() {
		if port < 0 {
			return flow.Flow{}, fmt.Errorf("port: missing; %s needs the destination's port", protocol)
		}
		f.DstPort = uint16(port)
	}
	return f, nil
}

func parseEnd(field, text string) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, fmt.Errorf("%s: missing; want an IP address", field)
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%s: %q is not an IP address", field, text)
	}
	if addr.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%s: %q has a zone; write the address without %%%s", field, text, addr.Zone())
	}
	return addr, nil
}

// flowSyntax says what a line should have looked like.
func flowSyntax(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		is := strings.Replace(wrongType.Value, "array", "list", 1)
		switch wrongType.Field {
		case "":
			err = fmt.Errorf("is a %s", is)
		case "port":
			return fmt.Errorf("port: is a %s, must be a whole number", is)
		default:
			return fmt.Errorf("%s: is a %s, must be a string", wrongType.Field, is)
		}
	}
	return fmt.Errorf(`no flow: %w; want {"src":"10.0.0.1","dst":"10.0.0.2","protocol":"TCP","port":80}`, err)
}

// answerWriter writes answers as JSON lines into one buffer, again and again.
type answerWriter struct {
	buf []byte
}

// line gives the answer as a line, valid until the next call.
func (w *answerWriter) line(a *judge.Answer) []byte {
	w.buf = append(w.buf[:0], `{"verdict":"`...)
	w.buf = append(w.buf, a.Verdict.String()...)
	w.buf = append(w.buf, `","egress":`...)
	w.side(&a.Egress)
	w.buf = append(w.buf, `,"ingress":`...)
	w.side(&a.Ingress)
	w.buf = append(w.buf, "}\n"...)
	return w.buf
}

// side appends one side. Names of policies are DNS names and a slash: nothing
// in them needs escaping.
func (w *answerWriter) side(s *judge.Side) {
	w.buf = append(w.buf, `{"verdict":"`...)
	w.buf = append(w.buf, s.Verdict.String()...)
	w.buf = append(w.buf, `","reason":"`...)
	w.buf = append(w.buf, s.Reason.String()...)
	if s.Reason == rule.Matched {
		w.buf = append(w.buf, `","policy":"`...)
		w.buf = append(w.buf, s.Policy...)
		w.buf = append(w.buf, `","rule":`...)
		w.buf = strconv.AppendInt(w.buf, int64(s.Rule), 10)
	} else {
		w.buf = append(w.buf, `","policy":null,"rule":null`...)
	}
	for i, name := range s.IsolatedBy {
		if i == 0 {
			w.buf = append(w.buf, `,"isolatedBy":["`...)
		} else {
			w.buf = append(w.buf, `","`...)
		}
		w.buf = append(w.buf, name...)
	}
	if len(s.IsolatedBy) > 0 {
		w.buf = append(w.buf, `"]`...)
	}
	w.buf = append(w.buf, '}')
}
