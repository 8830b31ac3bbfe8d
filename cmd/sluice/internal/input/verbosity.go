package input

import (
	"errors"
	"flag"
	"io"
	"strconv"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"            //nolint:depguard // The flag -v sets the level of client-go's log, which is klog.
	"k8s.io/klog/v2/textlogger" //nolint:depguard // It writes the messages to the command's standard error.
)

// maxVerbosity is the highest level at which client-go logs more than at the level below.
const maxVerbosity = 10

// verbosity is the value of kubectl's flag -v: the level of the log messages of client-go. At level
// 6, client-go logs each request. At level 8, it also logs headers and bodies. verbosity implements
// pflag.Value.
type verbosity struct{ level int }

// addTo adds the flag -v to a set of flags.
func (v *verbosity) addTo(flags *pflag.FlagSet) {
	flags.VarP(v, "v", "v", "`level` of the log about requests, 0 to 10: 6 logs each request, and 8 also its content")
}

// String returns the level.
func (v *verbosity) String() string { return strconv.Itoa(v.level) }

// Type returns the name of the flag's value in help texts.
func (*verbosity) Type() string { return "level" }

// Set sets the level.
func (v *verbosity) Set(text string) error {
	level, err := strconv.Atoi(text)
	if err != nil || level < 0 || level > maxVerbosity {
		return errors.New("want a number from 0 to 10")
	}
	v.level = level
	return nil
}

// apply makes client-go log at this level to a writer.
func (v *verbosity) apply(out io.Writer) {
	var flags flag.FlagSet
	klog.InitFlags(&flags)
	_ = flags.Set("v", v.String()) // The flag accepts every number.
	klog.SetLogger(textlogger.NewLogger(textlogger.NewConfig(textlogger.Verbosity(v.level), textlogger.Output(out))))
}
