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

// eachMessage reads a dump to its end. The data is valid until the function
// returns. After an error the rest of the dump is read and left out, so that the
// socket can be used again.
func eachMessage(fd int, buffer []byte, each func(kind uint16, data []byte) error) error {
	var failed error
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		for data := buffer[:n]; len(data) >= headerSize; {
			length := int(binary.NativeEndian.Uint32(data))
			if length < headerSize || length > len(data) {
				return errMessage
			}
			kind, payload := binary.NativeEndian.Uint16(data[4:]), data[headerSize:length]
			switch kind {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				if errno := errnoOf(payload); errno != 0 {
					return errors.Join(failed, errno)
				}
				return failed
			default:
				if failed == nil {
					failed = each(kind, payload)
				}
			}
			data = data[min((length+3)&^3, len(data)):]
		}
	}
}

// errnoOf reads the negative errno that an error or the end of a dump begins
// with.
func errnoOf(payload []byte) unix.Errno {
	if len(payload) < 4 {
		return unix.EBADMSG
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(payload)))
}
