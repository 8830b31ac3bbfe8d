package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/sluicenet/sluice/api/v1alpha1"
	"github.com/sluicenet/sluice/test/eventually"
	"github.com/sluicenet/sluice/test/process"
)

// stackFrame matches a part of a stack trace, in JSON or in text.
var stackFrame = regexp.MustCompile(`goroutine \d+|(\\t|\t)\S+\.go:\d+`)

// TestLogWithoutAPIServer runs the operator and the agent, and cuts their connections to the API
// server. The log must contain no stack traces, and each failure at most once within a minute.
func TestLogWithoutAPIServer(t *testing.T) {
	c := server.Client(t)
	namespace := server.Namespace(t)
	const node = "log-node"
	create(t, c, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node}}, &v1alpha1.NodeEnforcer{ObjectMeta: metav1.ObjectMeta{Name: node}})
	for name, args := range map[string][]string{
		"operator": {"operator", "--image", "sluice:test", "--leader-elect", "--namespace", namespace},
		"agent":    {"agent", "--node", node},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			link, config := server.Link(t, server.Config())
			args = append(args, "--kubeconfig", kubeconfigOf(t, config, ""), "--metrics-address", "0", "--health-address", "0")
			if name == "agent" {
				args = append(args, "--state-dir", t.TempDir())
			}
			p := process.MustStart(t, name, program(args...), nil)
			eventually.True(t, "the "+name+" works", func() bool { return strings.Contains(p.Log(), `"Starting workers"`) })
			if err := link.Cut(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-p.Ended(): // The operator exits if it cannot renew its Lease.
			case <-time.After(15 * time.Second):
				p.Kill()
			}
			checkLog(t, p.Log())
		})
	}
}

func checkLog(t *testing.T, log string) {
	t.Helper()
	failures := map[string]int{}
	for line := range strings.Lines(log) {
		if frame := stackFrame.FindString(line); frame != "" {
			t.Errorf("stack frame %q in: %s", frame, line)
		}
		var entry struct{ Level, Logger, Msg, Error, Err string }
		if !strings.HasPrefix(line, "sluice: ") {
			if err := json.Unmarshal([]byte(line), &entry); err != nil {
				t.Errorf("not JSON: %v: %s", err, line)
			}
		}
		if entry.Level == "error" || entry.Error+entry.Err != "" {
			failures[entry.Logger+": "+entry.Msg+": "+entry.Error+entry.Err]++
		}
	}
	for text, n := range failures {
		if n > 1 {
			t.Errorf("logged %d times: %s", n, text)
		}
	}
	if len(failures) == 0 {
		t.Errorf("no failure in the log:\n%s", log)
	}
}
