package conntrack

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// openSocket opens a blocking netlink socket that hears the kernel only.
func openSocket(protocol int) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return -1, fmt.Errorf("opening netlink socket: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("connecting netlink socket: %w", err)
	}
	return fd, nil
}

func send(fd int, data []byte) error {
	for {
		_, err := unix.Write(fd, data)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func receive(fd int, buffer []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// header is what struct nlmsghdr says of a message.
type header struct {
	kind, flags uint16
	sequence    uint32
}

// eachHeader calls f with one message of a datagram after the other, until f
// gives an error.
func eachHeader(data []byte, f func(h header, payload []byte) error) error {
	for len(data) >= headerSize {
		length := int(binary.NativeEndian.Uint32(data))
		if length < headerSize || length > len(data) {
			return errMessage
		}
		h := header{
			kind:     binary.NativeEndian.Uint16(data[4:]),
			flags:    binary.NativeEndian.Uint16(data[6:]),
			sequence: binary.NativeEndian.Uint32(data[sequenceAt:]),
		}
		if err := f(h, data[headerSize:length]); err != nil {
			return err
		}
		data = data[min((length+3)&^3, len(data)):]
	}
	return nil
}

// eachMessage reads a dump to its end. The data is valid until the function
// returns. After an error of that function the rest of the dump is read and left
// out, so that the socket can be used again.
func eachMessage(fd int, buffer []byte, each func(kind uint16, data []byte) error) error {
	var failed error
	for ended := false; !ended; {
		n, err := receive(fd, buffer)
		if err != nil {
			return err
		}
		err = eachHeader(buffer[:n], func(h header, payload []byte) error {
			if h.flags&unix.NLM_F_DUMP_INTR != 0 && failed == nil {
				failed = errInterrupted
			}
			if h.kind == unix.NLMSG_DONE || h.kind == unix.NLMSG_ERROR {
				ended = true
				if errno := errnoOf(payload); errno != 0 {
					return errno
				}
				return nil
			}
			if failed == nil {
				failed = each(h.kind, payload)
			}
			return nil
		})
		if err != nil {
			return errors.Join(failed, err)
		}
	}
	return failed
}

// errnoOf reads the negative errno that an error or the end of a dump begins
// with.
func errnoOf(payload []byte) unix.Errno {
	if len(payload) < 4 {
		return unix.EBADMSG
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(payload)))
}
