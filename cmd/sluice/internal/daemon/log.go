package daemon

import (
	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	uberzap "go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2" //nolint:depguard // Logger replaces the output of klog, in which client-go logs.
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/sluicenet/sluice/cmd/sluice/internal/choice"
)

// These are the values of the flags --log-level and --log-format.
const (
	levelError, levelInfo, levelDebug = "error", "info", "debug"
	formatJSON, formatText            = "json", "text"
)

// logFlags are the flags that configure the log.
type logFlags struct {
	level, format choice.Value
	verbose       bool
}

func (f *logFlags) add(cmd *cobra.Command) {
	f.level = choice.New("level", levelInfo, levelError, levelInfo, levelDebug)
	f.format = choice.New("format", formatJSON, formatJSON, formatText)
	cmd.Flags().Var(&f.level, "log-level", "`level`: "+f.level.List())
	cmd.Flags().Var(&f.format, "log-format", "`format`: "+f.format.List())
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "the same as --log-level debug --log-format text")
}

// logger returns a logger that writes to standard error. It logs no stack traces, because they
// are long and repeat with each failure, and the error states what failed. The packages of
// Kubernetes log to the same logger.
func (f *logFlags) logger(cmd *cobra.Command) logr.Logger {
	level, text := zapcore.InfoLevel, f.format.String() == formatText
	switch {
	case f.verbose || f.level.String() == levelDebug:
		level = zapcore.DebugLevel
	case f.level.String() == levelError:
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
