package query

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/sluicenet/sluice/dataplane/flow"
	"github.com/sluicenet/sluice/query/question"
)

// maxFlowLine is the maximum length of an input line of EvaluateLines, in bytes.
const maxFlowLine = 64 << 10

// outputBuffer is the size of EvaluateLines' output buffer in bytes.
const outputBuffer = 256 << 10

// EvaluateLines reads one flow per line and writes one Decision per line, in the same order. If a
// line does not contain a valid flow, EvaluateLines writes the decisions for the previous lines,
// and returns the error of EachLine.
func (c *Cluster) EvaluateLines(flows io.Reader, name string, out io.Writer) (err error) {
	w := bufio.NewWriterSize(out, outputBuffer)
	defer func() {
		if flushErr := w.Flush(); flushErr != nil && err == nil {
			err = fmt.Errorf("writing decisions: %w", flushErr)
		}
	}()
	decisions := json.NewEncoder(w)
	decisions.SetEscapeHTML(false)
	return c.EachLine(flows, name, func(_ flow.Flow, d *Decision) error {
		if err := decisions.Encode(d); err != nil {
			return fmt.Errorf("writing decisions: %w", err)
		}
		return nil
	})
}

// EachLine reads one flow per line, and calls the function `each` with the flow and its decision. It
// skips empty lines. If a line does not contain a valid flow, EachLine returns an *InputError. The
// error contains the line number and the name of the input, such as a file name.
func (c *Cluster) EachLine(flows io.Reader, name string, each func(flow.Flow, *Decision) error) error {
	lines := bufio.NewScanner(flows)
	lines.Buffer(make([]byte, 0, maxFlowLine), maxFlowLine)
	n := 0
	for lines.Scan() {
		n++
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		f, err := question.ParseFlow(lines.Bytes())
		if err != nil {
			return question.Errorf("", "", "%s:%d: %s", name, n, err)
		}
		d, err := c.Evaluate(f)
		if err != nil {
			return err
		}
		if err := each(f, &d); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return question.Errorf("", "", "%s:%d: the line is longer than %d bytes; a flow is one JSON object per line", name, n+1, maxFlowLine)
	case err != nil:
		return question.Errorf("", "", "%s:%d: reading flows: %s", name, n+1, err)
	}
	return nil
}
