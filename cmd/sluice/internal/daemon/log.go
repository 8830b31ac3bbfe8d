package daemon

import (
	"errors"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	uberzap "go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2" //nolint:depguard // Logger replaces the output of klog, in which client-go logs.
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// These are the values of the flags --log-level and --log-format.
const (
	levelError, levelInfo, levelDebug = "error", "info", "debug"
	formatJSON, formatText            = "json", "text"
)

// choice is the value of a flag that accepts only some words. It implements pflag.Value.
type choice struct {
	value string
	words []string
	wrong string
}

// String returns the value.
func (c *choice) String() string { return c.value }

// Set sets the value.
func (c *choice) Set(text string) error {
	for _, word := range c.words {
		if text == word {
			c.value = text
			return nil
		}
	}
	return errors.New(c.wrong)
}

// Type returns the name of the value in help texts.
func (*choice) Type() string { return "word" }

// logFlags are the flags that configure the log.
type logFlags struct {
	level, format choice
	verbose       bool
}

func (f *logFlags) add(cmd *cobra.Command) {
	f.level = choice{levelInfo, []string{levelError, levelInfo, levelDebug}, "want error, info or debug"}
	f.format = choice{formatJSON, []string{formatJSON, formatText}, "want json or text"}
	cmd.Flags().Var(&f.level, "log-level", "`level`: error, info or debug")
	cmd.Flags().Var(&f.format, "log-format", "`format`: json or text")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "the same as --log-level debug --log-format text")
}

// logger returns a logger that writes to standard error. It logs no stack traces, because they
// are long and repeat with each failure, and the error states what failed. The packages of
// Kubernetes log to the same logger.
func (f *logFlags) logger(cmd *cobra.Command) logr.Logger {
	level, text := zapcore.InfoLevel, f.format.value == formatText
	switch {
	case f.verbose || f.level.value == levelDebug:
		level = zapcore.DebugLevel
	case f.level.value == levelError:
		level = zapcore.ErrorLevel
	}
	encoder := zap.JSONEncoder(withTime)
	if f.verbose || text {
		encoder = zap.ConsoleEncoder(withTime)
	}
	log := zap.New(
		zap.WriteTo(cmd.ErrOrStderr()),
		zap.Level(level),
		zap.StacktraceLevel(zapcore.FatalLevel),
		zap.RawZapOpts(uberzap.WrapCore(limitRepeats)),
		encoder,
	)
	ctrllog.SetLogger(log)
	klog.SetLogger(log.WithName("client-go"))
	return log
}

func withTime(c *zapcore.EncoderConfig) { c.EncodeTime = zapcore.RFC3339TimeEncoder }
