// Package bench measures the packet path with real packets: the cost of a verdict,
// and how much Sluice slows down connections and streams. Each result is compared
// with a simpler implementation on the same path. Both are measured in the same
// run, in alternating rounds.
//
//	+-- client --+        +------------ node -------------+        +- outside -+
//	|  senders   |--veth--|  table inet sluice  --> queue |--veth--|           |
//	+------------+        +--------------------------|----+        +-----------+
//	                                       child process: a worker, or
//	                                       a program that it is compared with
//
// The process that serves a queue does nothing else, so that getrusage(2) returns the
// processor time of its verdicts. This time includes reading the packets, evaluating them,
// and the work of the kernel until it has applied the verdicts. Senders are separate
// processes, too, so that the garbage collections of other processes do not delay them.
package bench
