package ruleset

import (
	"encoding/binary"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
)

// Queues contains the queue numbers of one dataplane: a range of normal queues and the hold queue
// that follows them, and the flood queue.
//
// A node has two such ranges, followed by the two flood queues. While a dataplane is being
// replaced, the old dataplane uses one range and the new dataplane uses the other range. For
// example, with Base 2700 and Count 2, the normal queues are 2700 and 2701 in the first range, and
// 2703 and 2704 in the second range. The hold queues are 2702 and 2705, and the flood queues are
// 2706 and 2707.
type Queues struct {
	// Base is the number of the first normal queue. Count is the number of normal queues.
	Base, Count uint16
	// Flood is the number of the flood queue. It is 0 if there is no flood queue.
	Flood uint16
}

// ranges is the number of queue ranges per node.
const ranges = 2

// Hold returns the number of the queue for held packets.
func (q Queues) Hold() uint16 { return holdQueue(q.Base, q.Count) }

func holdQueue(base, count uint16) uint16 { return base + count }

// NewQueues returns the queues of a node. The flood queues have the last numbers, so that the
// ranges do not depend on them. A new dataplane may replace an older dataplane, which has the same
// ranges but no flood queue.
func NewQueues(base, count uint16) [ranges]Queues {
	second := holdQueue(base, count) + 1
	flood := holdQueue(second, count) + 1
	return [ranges]Queues{{base, count, flood}, {second, count, flood + 1}}
}

// NumbersPerNode returns how many consecutive queue numbers a node uses, with `count` normal queues
// per range.
func NumbersPerNode(count uint16) int { return ranges * (int(count) + 2) }

// Fit reports whether a node can have `count` normal queues per range if the first queue number is
// `base`. `count` must be at least 1, and the last queue number must be at most 65535.
func Fit(base, count uint16) bool { return count > 0 && int(base)+NumbersPerNode(count) <= 1<<16 }

// Contain reports whether a queue number belongs to the range or is the flood queue.
func (q Queues) Contain(number uint64) bool {
	return number >= uint64(q.Base) && number <= uint64(q.Hold()) || q.Flood != 0 && number == uint64(q.Flood)
}

// queueTo returns the expression that sends packets to a queue, or to one of `count` queues from `base`
// on. The failure policy applies if no process has bound the queue.
func (c Config) queueTo(base, count uint16) expr.Any {
	return queueTo(c.Queueing, base, count, c.FailurePolicy == FailOpen)
}

// queueTo returns the expressions for `queue to BASE-LAST`, where LAST is BASE + COUNT - 1.
// The kernel selects the queue by a hash of both addresses, so that packets between the same
// two addresses stay in order. The queue expression and the NFQUEUE target compute the same
// hash.
func queueTo(how Queueing, base, count uint16, bypass bool) expr.Any {
	if how == QueueExpression {
		e := &expr.Queue{Num: base, Total: count}
		if bypass {
			e.Flag = expr.QueueFlagBypass
		}
		return e
	}
	// This is a struct xt_NFQ_info_v3 of include/uapi/linux/netfilter/xt_NFQUEUE.h. It contains
	// three u16 fields and is padded to a multiple of 8 bytes by XT_ALIGN.
	info := make(xt.Unknown, 8)
	binary.NativeEndian.PutUint16(info[0:], base)
	binary.NativeEndian.PutUint16(info[2:], count)
	if bypass {
		binary.NativeEndian.PutUint16(info[4:], xtQueueBypass)
	}
	return &expr.Target{Name: "NFQUEUE", Rev: 3, Info: &info}
}

// xtQueueBypass is NFQ_FLAG_BYPASS of xt_NFQUEUE.h. If the flag is set and no process has bound
// the queue, the kernel accepts packets.
const xtQueueBypass = 1
