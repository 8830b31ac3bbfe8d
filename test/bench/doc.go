// Package bench measures the data path with real packets: the cost of a verdict, and by how
// much Sluice slows down connections and streams. Each result is compared with the result of a
// simpler implementation on the same path. Both results come from the same run, in which the
// rounds of the two implementations alternate.
//
//	+-- client --+        +------------ node -------------+        +- outside -+
//	|  senders   |--veth--|  table inet sluice  --> queue |--veth--|           |
//	+------------+        +--------------------------|----+        +-----------+
//	                                       child process: a worker, or
//	                                       a program that it is compared with
//
// The process that serves a queue does nothing else. So getrusage(2) returns the processor time
// that the verdicts cost in this process: the time for reading the packets, for evaluating the
// packets, and for the work of the kernel until it has applied the verdicts. The senders run in
// separate processes, too, so that garbage collections of other processes do not delay the
// senders.
package bench
