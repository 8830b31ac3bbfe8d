package queue

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32
}

// verdictSize is the size in bytes of a verdict with a mark.
const verdictSize = 40

// quickWrite is the largest number of bytes that transmit writes without notifying Go's
// scheduler. It is the size of 16 verdicts. The kernel needs a few microseconds for each
// verdict.
const quickWrite = 16 * verdictSize

// transmit writes the unsent messages. Normally, Go notifies its scheduler before a system
// call, and the scheduler wakes another thread, which takes over if the call blocks. For a
// short write, the wakeup takes more time than the write. So transmit does not notify the
// scheduler before a short write.
func (s *socket) transmit(fd uintptr) {
	errno := unix.EINTR
	for errno == unix.EINTR {
		if len(s.unsent) > quickWrite {
			_, _, errno = unix.Syscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&s.unsent[0])), uintptr(len(s.unsent)))
		} else {
			_, _, errno = unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&s.unsent[0])), uintptr(len(s.unsent)))
		}
	}
	s.err = nil
	if errno != 0 {
		s.err = errno
	}
}

// receive reads the packets that have arrived. If flags is unix.MSG_WAITFORONE, receive waits
// for the first packet. If flags is unix.MSG_DONTWAIT, receive does not wait.
func (s *socket) receive(fd, flags uintptr) {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&s.headers[0])), uintptr(s.batch), flags, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		s.count, s.err = int(n), nil
		if errno != 0 {
			s.count, s.err = 0, errno
		}
		return
	}
}

// datagram returns the datagram with index i of the last read.
func (s *socket) datagram(i int) []byte {
	return s.buffer[i*messageSize:][:min(int(s.headers[i].length), messageSize)]
}
