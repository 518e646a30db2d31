//go:build unix && !linux

package load

import (
	"time"

	"golang.org/x/sys/unix"
)

// poller waits for sockets with poll(2): slower than Linux's epoll with many connections,
// but portable.
type poller struct {
	fds   []unix.PollFd
	conns []int
	at    map[int]int // fd → index in fds
	ready []event
}

// event is what may be done with a connection without blocking.
type event struct {
	conn               int
	readable, writable bool
}

func newPoller(int) (*poller, error) { return &poller{at: map[int]int{}}, nil }

func (p *poller) add(fd, conn int) error {
	p.at[fd] = len(p.fds)
	p.fds = append(p.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	p.conns = append(p.conns, conn)
	return nil
}

func (p *poller) wantWrite(fd, _ int, want bool) error {
	p.fds[p.at[fd]].Events = unix.POLLIN
	if want {
		p.fds[p.at[fd]].Events |= unix.POLLOUT
	}
	return nil
}

func (p *poller) wait(timeout time.Duration) ([]event, error) {
	n, err := unix.Poll(p.fds, int(timeout/time.Millisecond))
	if err == unix.EINTR {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p.ready = p.ready[:0]
	for i := 0; i < len(p.fds) && len(p.ready) < n; i++ {
		if r := p.fds[i].Revents; r != 0 {
			p.ready = append(p.ready, event{
				conn:     p.conns[i],
				readable: r&(unix.POLLIN|unix.POLLHUP|unix.POLLERR) != 0,
				writable: r&unix.POLLOUT != 0,
			})
		}
	}
	return p.ready, nil
}

func (p *poller) close() {}
