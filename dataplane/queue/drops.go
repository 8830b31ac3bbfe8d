package queue

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// kernelQueues reads the kernel's counters for the queues of a network namespace from a file in
// /proc. The path refers to the network namespace of the thread that opens it, so the file is
// opened once and stays open.
type kernelQueues struct {
	file *os.File
}

const kernelQueuesPath = "/proc/thread-self/net/netfilter/nfnetlink_queue"

func openKernelQueues() (*kernelQueues, error) {
	f, err := os.Open(kernelQueuesPath)
	if err != nil {
		return nil, fmt.Errorf("opening the list of queues: %w", err)
	}
	return &kernelQueues{file: f}, nil
}

func (k *kernelQueues) close() error { return k.file.Close() }

// kernelQueue is one line of the file in /proc. The kernel function seq_show in
// net/netfilter/nfnetlink_queue.c writes the line.
type kernelQueue struct {
	number, port, waiting, queueDropped, userDropped uint64
}

func (k *kernelQueues) read() ([]kernelQueue, error) {
	text, err := io.ReadAll(io.NewSectionReader(k.file, 0, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("reading the list of queues: %w", err)
	}
	var out []kernelQueue
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		q, err := parseKernelQueue(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("reading the list of queues: %w", err)
		}
		out = append(out, q)
	}
	return out, nil
}

var errQueueLine = errors.New("a line has fewer than seven numbers")

func parseKernelQueue(line string) (kernelQueue, error) {
	var q kernelQueue
	var ignored uint64
	fields := strings.Fields(line)
	into := []*uint64{&q.number, &q.port, &q.waiting, &ignored, &ignored, &q.queueDropped, &q.userDropped}
	if len(fields) < len(into) {
		return kernelQueue{}, errQueueLine
	}
	for i, p := range into {
		n, err := strconv.ParseUint(fields[i], 10, 64)
		if err != nil {
			return kernelQueue{}, err
		}
		*p = n
	}
	return q, nil
}
