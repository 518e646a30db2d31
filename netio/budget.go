package netio

import (
	"sync/atomic"

	"keyframe/netio/frame"
)

// This file is the bound on what all connections together may hold: input that waits for
// its end or its turn, and output that waits for its client. Each connection has limits of
// its own, but thousands of clients that go to them would take the machine's memory.
//
// Each connection has a small share that nothing takes from it. What it holds above that
// is charged to the budget, and may be at most as much as the budget has left: so a client
// alone may have half of it, n that want all they can get have an n+1th of it each, and as
// much stays free for the next one. (Switches give their ports memory like this: Choudhury
// and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998.)
// What passes that is the largest holder first. It is squeezed: its socket is not read,
// and it has no turns while answers are unread. That ends when it has read half of them,
// or when others have left it room; when it takes nothing for squeezePatience, or stays in
// the middle of a command for so long, it is cut off as a slow consumer.
//
// What is set aside is for answers that can't be held back, since they are as long as the
// value that was asked for. When even that is used up, the largest holder is cut off at
// once.
//
// A turn that keeps nothing touches none of this, and one that keeps less than its
// connection's share touches nothing that other loops do.

const (
	// bufferShare is what a connection may always hold: a first chunk of output and the
	// beginning of a command. With many connections and little memory it is less. Not yet
	// measured, nor is leastTurnOutput.
	bufferShare = 16 << 10

	// squeezePatience is how long a connection may be squeezed without getting on.
	squeezePatience = writePatience

	// minBudget is the least that a budget may be beside four of the longest commands.
	minBudget = 1 << 20

	// leastTurnOutput is what a turn may always have of answers, however little is left.
	leastTurnOutput = 64 << 10
)

// usage is how much memory connections hold.
type usage struct {
	input, output int
	mapped        int // how much of the input is not on Go's heap
}

func (u *usage) add(o usage) {
	u.input += o.input
	u.output += o.output
	u.mapped += o.mapped
}

// budget is a server's. Its methods may be called from any goroutine.
type budget struct {
	limit    int64
	share    int
	setAside int64
	conns    *atomic.Int64

	_    [64]byte // the above is read by turns that what follows is none of
	used atomic.Int64
	_    [64]byte
}

// init sets the sizes. The connections' shares take a quarter of the limit at most.
func (b *budget) init(opts *Options, conns *atomic.Int64) {
	b.limit = int64(opts.MaxBufferBytes)
	b.share = min(bufferShare, opts.MaxBufferBytes/4/opts.MaxConns)
	b.setAside = min(b.limit/4, int64(opts.MaxFrameBytes))
	b.conns = conns
}

// left is what there is left, without what is set aside. Less than 0: of that some is used.
func (b *budget) left() int64 {
	return b.limit - b.setAside - b.conns.Load()*int64(b.share) - b.used.Load()
}

// isOver reports whether a connection that is charged so much holds too much.
func (b *budget) isOver(charge int) bool { return charge > 0 && int64(charge) > b.left() }

// isSpent reports whether what is set aside is used up, too.
func (b *budget) isSpent() bool { return b.left() < -b.setAside }

// usage is what a connection holds now.
func (c *conn) usage() (u usage) {
	u.input, u.mapped = c.pending.Held(), c.pending.Mapped()
	if c.framing != nil {
		u.input += c.framing.held()
	}
	if c.tls != nil {
		u.input += c.tls.Held()
	}
	u.output = int(c.out.held.Load())
	if c.commit != nil {
		u.output += cap(c.commit.out)
	}
	return u
}

// account counts what a connection holds, after whatever may have made it more. What its
// outbox's writer has sent is counted off by the next turn, report or sweep.
func (l *loop) account(c *conn) {
	if u := c.usage(); u != c.held {
		l.accountFor(c, u)
	}
}

func (l *loop) accountFor(c *conn, u usage) {
	l.held.add(usage{u.input - c.held.input, u.output - c.held.output, u.mapped - c.held.mapped})
	c.held = u
	l.published.Lock()
	l.published.held = l.held
	l.published.Unlock()
	b := &l.srv.budget
	if charge := max(0, u.input+u.output-b.share); charge != c.charge {
		b.used.Add(int64(charge - c.charge))
		c.charge = charge
		l.limitTurns()
	}
}

// limitTurns has turns make less output the less is left.
func (l *loop) limitTurns() {
	most := l.srv.shares.turnOutputBytes
	least := min(leastTurnOutput, most)
	l.pipe.shares.turnOutputBytes = max(least, int(min(l.srv.budget.left()/8, int64(most))))
}

// squeeze squeezes a connection that holds more than there is left. When all is spent it
// cuts off the largest holder of the loop, which may be c.
func (l *loop) squeeze(c *conn) {
	b := &l.srv.budget
	if !b.isOver(c.charge) {
		c.squeezed = c.paused && c.squeezed // a pause ends with a turn; see relieve
		return
	}
	if !c.squeezed {
		c.squeezed = true
		c.squeezedAt = l.srv.now().UnixNano()
		l.count.Squeezed++
	}
	if unread := c.out.unread.Load(); unread > 0 && !c.paused {
		c.paused = true
		c.out.resume.Store(unread / 2)
	}
	for b.isSpent() && c.charge > 0 {
		largest := c
		for _, other := range l.conns {
			if other.charge > largest.charge && !other.commit.exists() {
				largest = other
			}
		}
		l.cutOff(largest)
	}
}

// relieve ends a connection's squeeze if there is enough left now, and reports whether
// there is.
func (l *loop) relieve(c *conn) bool {
	l.account(c)
	if l.srv.budget.isOver(c.charge) {
		return false
	}
	c.squeezed = false
	if c.out.unread.Load() < int64(l.opts.MaxOutputBytes) {
		l.resume(c)
	}
	l.serve(c, nil)
	return true
}

// resume ends a connection's pause; a turn must follow.
func (l *loop) resume(c *conn) {
	c.paused = false
	c.out.resume.Store(int64(l.opts.MaxOutputBytes / 2))
}

// relieveOrCutOff is for a squeezed connection whose client has taken nothing for
// squeezePatience.
func (l *loop) relieveOrCutOff(c *conn) {
	if !l.relieve(c) && !c.commit.exists() {
		l.cutOff(c)
	}
}

// longSqueezed is the largest of those that have been squeezed in the middle of a command
// for squeezePatience, or nil. The others may have enough without it.
func (l *loop) longSqueezed() (largest *conn) {
	until := l.srv.now().Add(-squeezePatience).UnixNano()
	for _, c := range l.conns {
		if c.squeezed && c.phase == phaseOpen && c.out.unread.Load() == 0 && !c.commit.exists() && c.squeezedAt <= until && (largest == nil || c.charge > largest.charge) {
			largest = c
		}
	}
	return largest
}

var errBuffersFull = &frame.CloseError{Code: frame.ClosePolicy, Reason: "slow consumer: the server holds too much for its clients"}

const cuttingOff = "cutting a connection off: all together hold too much"

// cutOff ends a connection for what it holds, and frees that at once: what is queued for
// a client that does not read is not sent any more.
func (l *loop) cutOff(c *conn) {
	l.srv.counters.slowConsumers.Add(1)
	l.count.CutOff++
	l.srv.log.Warn(cuttingOff, "remote", c.remote, "input", c.held.input, "output", c.held.output)
	if c.phase != phaseOpen || c.out.writing.Load() || c.commit.exists() {
		l.closeUnsent(c)
		return
	}
	l.closeNow(c, errBuffersFull)
}
