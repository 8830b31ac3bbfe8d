// Package bench measures the packet path with real packets: what a verdict costs,
// and how much slower connections and streams are. Every result is compared with
// something simpler on the same path in the same run, in alternating rounds.
//
//	+-- client --+        +------------ node -------------+        +- outside -+
//	|  senders   |--veth--|  table inet sluice  --> queue |--veth--|           |
//	+------------+        +--------------------------|----+        +-----------+
//	                                       child process: a worker, or
//	                                       what it is compared with
//
// The process that serves a queue does nothing else, so that its CPU time is known
// (getrusage(2)). That time contains reading packets, the decision, and the work of
// the kernel until the verdicts are carried out. Senders are also separate
// processes, so that garbage collections of other parts do not disturb them.
package bench
