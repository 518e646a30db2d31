package load

import (
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for sockets with epoll.
type poller struct {
	fd     int
	events []unix.EpollEvent
	ready  []event
	nap    []unix.PollFd
}

// event is what may be done with a connection without blocking.
type event struct {
	conn               int
	readable, writable bool
}

func newPoller(conns int) (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	n := min(conns, 1024)
	return &poller{
		fd:     fd,
		events: make([]unix.EpollEvent, n),
		ready:  make([]event, 0, n),
		nap:    []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}},
	}, nil
}

// add takes a socket in. Its events are edges: reported once, when bytes arrive or room
// appears. Looking at them again in every wait costs as much as a third of a small read.
func (p *poller) add(fd, conn int) error {
	const events = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET&0xffffffff
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(conn)})
}

// wantWrite says whether the connection waits for room in its socket. An edge reports it in
// any case.
func (*poller) wantWrite(int, int, bool) error { return nil }

// wait returns what is ready, valid until the next call. It waits no longer than
// the timeout, with the precision of the kernel's timers.
func (p *poller) wait(timeout time.Duration) ([]event, error) {
	ms := 0
	switch {
	case timeout >= 10*time.Millisecond:
		ms = int(timeout / time.Millisecond)
	case timeout > 0: // epoll_wait has milliseconds only
		ts := unix.NsecToTimespec(timeout.Nanoseconds())
		if _, err := unix.Ppoll(p.nap, &ts, nil); err != nil && err != unix.EINTR {
			return nil, err
		}
	}
	n, err := unix.EpollWait(p.fd, p.events, ms)
	if err == unix.EINTR {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p.ready = p.ready[:0]
	for _, ev := range p.events[:n] {
		p.ready = append(p.ready, event{
			conn:     int(ev.Fd),
			readable: ev.Events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0,
			writable: ev.Events&unix.EPOLLOUT != 0,
		})
	}
	return p.ready, nil
}

func (p *poller) close() { _ = unix.Close(p.fd) }
