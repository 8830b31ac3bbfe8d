// Package bench measures the packet path on real packets: what a verdict costs,
// and what connections and streams lose. Every figure is compared with something
// simpler on the same path in the same run, in rounds that take turns.
//
//	+-- client --+        +------------ node -------------+        +-- world --+
//	|  senders   |--veth--|  table inet sluice  --> queue |--veth--|           |
//	+------------+        +--------------------------|----+        +-----------+
//	                                       child process: a worker, or
//	                                       what it is compared with
//
// Whoever serves a queue is a process of its own, so that its CPU time is known
// (getrusage(2)): reading packets, deciding, and what the kernel does with
// them until the verdicts have been carried out. Senders are processes of their
// own, too, so that no garbage collection of another part disturbs them.
package bench
