package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
)

func TestRepeats(t *testing.T) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	core := limitRepeats(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m"}), zapcore.AddSync(&out), zapcore.InfoLevel))
	for _, step := range []struct {
		after time.Duration
		level zapcore.Level
		text  string
		err   error
		want  string
	}{
		{0, zapcore.ErrorLevel, "reading", fmt.Errorf("get a: %w", refused), `{"m":"reading","error":"get a: dial tcp: connection refused"}`},
		{1 * time.Second, zapcore.ErrorLevel, "reading", fmt.Errorf("get b: %w", refused), ""},
		{2 * time.Second, zapcore.InfoLevel, "reading", fmt.Errorf("get a: %w", refused), ""},
		{3 * time.Second, zapcore.ErrorLevel, "writing", refused, `{"m":"writing","error":"dial tcp: connection refused"}`},
		{4 * time.Second, zapcore.ErrorLevel, "reading", errors.New("not allowed"), `{"m":"reading","error":"not allowed"}`},
		{5 * time.Second, zapcore.InfoLevel, "started", nil, `{"m":"started"}`},
		{6 * time.Second, zapcore.InfoLevel, "started", nil, `{"m":"started"}`},
		{59 * time.Second, zapcore.ErrorLevel, "reading", fmt.Errorf("get c: %w", refused), ""},
		{60 * time.Second, zapcore.ErrorLevel, "reading", fmt.Errorf("get a: %w", refused), `{"m":"reading","error":"get a: dial tcp: connection refused","repeated":3}`},
	} {
		out.Reset()
		var fields []zapcore.Field
		if step.err != nil {
			fields = append(fields, zapcore.Field{Key: "error", Type: zapcore.ErrorType, Interface: step.err})
		}
		if err := core.Write(zapcore.Entry{Level: step.level, Message: step.text, Time: start.Add(step.after)}, fields); err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimSpace(out.String()); got != step.want {
			t.Errorf("after %s: %q, want %q", step.after, got, step.want)
		}
	}
}

func TestLevelsAndFormats(t *testing.T) {
	for name, test := range map[string]struct {
		args       []string
		info, more bool
		json       bool
	}{
		"default": {nil, true, false, true},
		"error":   {[]string{"--log-level", "error"}, false, false, true},
		"debug":   {[]string{"--log-level=debug"}, true, true, true},
		"text":    {[]string{"--log-format=text"}, true, false, false},
		"verbose": {[]string{"-v"}, true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			var flags Flags
			cmd := &cobra.Command{RunE: func(cmd *cobra.Command, _ []string) error {
				log := flags.Logger(cmd)
				log.Error(errors.New("broken"), "failed")
				log.Info("normal")
				log.V(1).Info("detail")
				return nil
			}}
			flags.Add(cmd, NoAddress, NoAddress)
			cmd.SetArgs(test.args)
			cmd.SetErr(&out)
			if err := cmd.Execute(); err != nil {
				t.Fatal(err)
			}
			text := out.String()
			if !strings.Contains(text, "broken") || strings.Contains(text, "normal") != test.info || strings.Contains(text, "detail") != test.more {
				t.Errorf("wrong level: %s", text)
			}
			if strings.HasPrefix(text, "{") != test.json || strings.Contains(text, ".go:") {
				t.Errorf("wrong format: %s", text)
			}
		})
	}
	var flags Flags
	cmd := &cobra.Command{}
	flags.Add(cmd, NoAddress, NoAddress)
	if err := cmd.ParseFlags([]string{"--log-level", "loud"}); err == nil || !strings.Contains(err.Error(), "want error, info or debug") {
		t.Error(err)
	}
}
