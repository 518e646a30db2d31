package netio

import (
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// socket is the sending side of a connection, as its event loop uses it: nothing waits.
// It is an interface so that a simulation can have sockets of its own.
type socket interface {
	// write is write(2): it takes what there is room for. unix.EAGAIN: nothing.
	write(p []byte) (int, error)
	// shutdown ends the writing side.
	shutdown()
	// duplicate returns the same socket under a descriptor of its own.
	duplicate() (socket, error)
	// waiter returns the same socket, once more, for a goroutine that may wait.
	waiter() (waitingSocket, error)
	// conn returns the same socket, once more, for gnet to watch.
	conn() (net.Conn, error)
	// close closes the descriptor.
	close()
}

// waitingSocket is the sending side as an outbox's writer uses it.
type waitingSocket interface {
	// Write waits for room until the deadline; os.ErrDeadlineExceeded then.
	Write(p []byte) (int, error)
	SetWriteDeadline(t time.Time) error
	// unacknowledged is how many bytes the kernel has that the client's has not
	// taken. A write waits until a third of a buffer of megabytes is free; this shows
	// a client that reads slowly long before. Where the kernel can't tell it is 0.
	unacknowledged() int
	shutdown()
	Close() error
}

// descriptor is the socket of a server: a number that gnet, or the outbox, owns.
type descriptor int

func (fd descriptor) write(p []byte) (int, error) { return writeNow(int(fd), p) }

// shutdown fails only when the client is gone already.
func (fd descriptor) shutdown() { _ = unix.Shutdown(int(fd), unix.SHUT_WR) }

func (fd descriptor) close() { _ = unix.Close(int(fd)) }

func (fd descriptor) duplicate() (socket, error) {
	n, err := duplicate(int(fd))
	return descriptor(n), err
}

// waiter relies on gnet having made the socket non-blocking: so the file joins Go's
// own poller and has deadlines.
func (fd descriptor) waiter() (waitingSocket, error) {
	n, err := duplicate(int(fd))
	if err != nil {
		return nil, err
	}
	return file{os.NewFile(uintptr(n), "client")}, nil
}

func (fd descriptor) conn() (net.Conn, error) {
	n, err := duplicate(int(fd))
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(n), "client")
	defer f.Close()
	return net.FileConn(f) // duplicates it once more
}

// file is the waitingSocket of a server.
type file struct{ *os.File }

func (f file) unacknowledged() (n int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if n, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ); err != nil {
			n = 0
		}
	})
	return n
}

func (f file) shutdown() {
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
	}
}

func duplicate(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) }
