package netio

import (
	"sync/atomic"

	"keyframe/netio/frame"
	"keyframe/netio/seal"
)

// This file is the bound on what all connections together may hold: input that waits for
// its end or its turn, and output that waits for its client. Each connection has limits of
// its own, but thousands of clients that go to them would take the machine's memory.
//
// The bound is exact, across loops and at any time: what a connection is about to hold is
// taken out of the budget before it is held. What each of MaxConns connections may always
// have, its share, is taken out at the start, and so is what TLS has before we know of it.
//
// What a connection holds above its share is charged to it, and may be at most as much as
// the budget has left: so a client alone may have half of it, n that want all they can get
// have an n+1th of it each, and as much stays free for the next one. (Switches give their
// ports memory like this: Choudhury and Hahne, "Dynamic queue length thresholds for
// shared-memory packet switches", 1998.) What passes that is the largest holder first. It is
// squeezed: its socket is not read, and it has no turns while answers are unread. That ends
// when it has read half of them, or when others have left it room; when it takes nothing for
// squeezePatience, or stays in the middle of a command for so long, it is cut off as a slow
// consumer.
//
// What is set aside is for those that are about to be squeezed, and for answers that can't
// be held back, since they are as long as the value that was asked for. When three quarters
// of it are used, the largest holder of all loops is cut off at once. When even the rest is
// too little for what a connection is about to hold, a larger one of its loop is, or that
// connection itself: its loop can't wait for another.
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
	reserved int64 // of the limit: the shares, and TLS's part
	setAside int64

	_      [64]byte // the above is read by turns that what follows is none of
	used   atomic.Int64
	_      [64]byte
	shares atomic.Int64 // that no connection has
	asked  atomic.Bool  // a loop is about to cut its largest connection off
}

// init sets the sizes. What is reserved is a quarter of the limit at most.
func (b *budget) init(opts *Options) {
	limit := opts.MaxBufferBytes
	secured := 0
	if opts.TLSCert != "" {
		secured = min(opts.Loops*seal.MaxHeld+shakingPlaces(opts)*shakingBytes, limit/4)
	}
	b.resize(limit, min(bufferShare, (limit/4-secured)/opts.MaxConns), opts.MaxConns, secured, min(limit/4, opts.MaxFrameBytes))
}

func (b *budget) resize(limit, share, shares, secured, setAside int) {
	b.limit, b.share, b.setAside = int64(limit), share, int64(setAside)
	b.reserved = int64(share*shares + secured)
	b.shares.Store(int64(shares))
}

// left is what there is left, without what is set aside. Less than 0: of that some is used.
func (b *budget) left() int64 { return b.limit - b.reserved - b.setAside - b.used.Load() }

// isOver reports whether a connection that is charged so much holds too much.
func (b *budget) isOver(charge int) bool { return charge > 0 && int64(charge) > b.left() }

// isShort reports whether so much is used that somebody has to go.
func (b *budget) isShort() bool { return b.left() < -b.setAside/4*3 }

// take takes n bytes out of the budget, if there are as many.
func (b *budget) take(n int) bool {
	for {
		used := b.used.Load()
		if used+int64(n) > b.limit-b.reserved {
			return false
		}
		if b.used.CompareAndSwap(used, used+int64(n)) {
			return true
		}
	}
}

func (b *budget) giveBack(n int) { b.used.Add(-int64(n)) }

// newShare is what a connection may always hold. There are as many shares as MaxConns was at
// the start: when it has been raised since, the others have none.
func (b *budget) newShare() uint16 {
	if b.shares.Add(-1) < 0 {
		b.shares.Add(1)
		return 0
	}
	return uint16(b.share)
}

// usage is what a connection holds now.
func (c *conn) usage() (u usage) {
	u.output = int(c.out.held.Load())
	if c.phase == phaseClosed {
		return u
	}
	u.input, u.mapped = c.pending.Held(), c.pending.Mapped()
	if c.framing != nil {
		u.input += c.framing.held()
	}
	if c.tls != nil {
		u.input += c.tls.Held()
	}
	if c.commit != nil {
		u.output += cap(c.commit.out)
	}
	return u
}

// chargeFor is what of u is above the connection's share.
func (c *conn) chargeFor(u usage) int { return max(0, u.input+u.output-int(c.share)) }

// reserve has a connection counted to hold so much more, which it is to hold next, and
// reports whether it may. If it must not, it is to be cut off. Others may be cut off for it.
func (l *loop) reserve(c *conn, more usage) bool {
	if l.tryReserve(c, more) {
		return true
	}
	l.askLargest()
	return l.makeRoom(c, more)
}

func (l *loop) tryReserve(c *conn, more usage) bool {
	u := c.held
	u.add(more)
	charge := c.chargeFor(u)
	grows := charge > c.charge
	if grows && !l.srv.budget.take(charge-c.charge) {
		return false
	}
	if l.recount(c, u, charge); grows && l.srv.budget.isShort() {
		l.askLargest()
	}
	return true
}

// account counts what a connection holds, which may have become less. What its outbox's
// writer has sent is counted off by the next turn, report or sweep.
func (l *loop) account(c *conn) {
	if u := c.usage(); u != c.held {
		l.accountFor(c, u)
	}
}

func (l *loop) accountFor(c *conn, u usage) {
	checkReserved(c, u)
	charge, before := c.chargeFor(u), c.charge
	l.recount(c, u, charge)
	l.srv.budget.giveBack(before - charge) // after others have seen that it is free
}

// returnShare has another connection have the share of one that has ended. What its outbox's
// writer has in hand is the connection's until the writer reports its end.
func (l *loop) returnShare(c *conn) {
	if c.held == (usage{}) && c.share > 0 {
		c.share = 0
		l.srv.budget.shares.Add(1)
	}
}

func (l *loop) recount(c *conn, u usage, charge int) {
	l.held.add(usage{u.input - c.held.input, u.output - c.held.output, u.mapped - c.held.mapped})
	c.held = u
	l.published.Lock()
	l.published.held = l.held
	l.published.Unlock()
	if charge == c.charge {
		return
	}
	c.charge = charge
	if int64(charge) > l.largest.Load() {
		l.largest.Store(int64(charge))
	}
	l.limitTurns()
}

// limitTurns has turns make less output the less is left.
func (l *loop) limitTurns() {
	most := l.srv.shares.turnOutputBytes
	least := min(leastTurnOutput, most)
	l.pipe.shares.turnOutputBytes = max(least, int(min(l.srv.budget.left()/8, int64(most))))
}

// makeRoom cuts off larger connections of the loop until one may hold so much more, and
// reports whether it may. It is called in the middle of that connection's turn.
func (l *loop) makeRoom(c *conn, more usage) bool {
	if l.makingRoom { // what is cut off is told so, and that has to be within its share
		return false
	}
	l.makingRoom = true
	if l.commit != nil { // of what the turn has done so far: the answer to who is cut off asks next
		c.commit.position = max(c.commit.position, l.commit.position())
	}
	out, sealed := l.pipe.out, l.sealed // the turn's
	l.pipe.out, l.sealed = nil, nil
	defer func() { l.makingRoom, l.pipe.out, l.sealed = false, out, sealed }()
	for _, other := range l.conns { // clients may have read
		u := other.usage()
		if other == c { // the turn knows more of its input
			u.input, u.mapped = c.held.input, c.held.mapped
		}
		l.accountFor(other, u)
	}
	for {
		if l.tryReserve(c, more) {
			return true
		}
		u := c.held
		u.add(more)
		largest, charge := (*conn)(nil), c.chargeFor(u)
		for _, other := range l.conns {
			if other != c && other.charge > charge && !other.commit.exists() {
				largest, charge = other, other.charge
			}
		}
		if largest == nil {
			return false
		}
		l.cutOff(largest)
	}
}

// askLargest has the loop with the largest holder of all cut it off, unless one has been
// asked already.
func (l *loop) askLargest() {
	b := &l.srv.budget
	if !b.asked.CompareAndSwap(false, true) {
		return
	}
	of := l
	for _, other := range l.srv.loopList() {
		if other.largest.Load() > of.largest.Load() {
			of = other
		}
	}
	of.execute(of.cutOffLargest)
}

// cutOffLargest cuts off the loop's largest holder, if somebody still has to go and no other
// loop has a larger one.
func (l *loop) cutOffLargest() {
	b := &l.srv.budget
	for _, c := range l.conns { // clients may have read
		l.account(c)
	}
	c := l.findLargest()
	b.asked.Store(false)
	if !b.isShort() {
		return
	}
	for _, other := range l.srv.loopList() {
		if other.largest.Load() > l.largest.Load() {
			l.askLargest()
			return
		}
	}
	if c != nil {
		l.cutOff(c)
		l.findLargest()
	}
}

// findLargest returns the largest holder that may be cut off, or nil, and has other loops see
// how large it is.
func (l *loop) findLargest() (largest *conn) {
	most := 0
	for _, c := range l.conns {
		if c.charge > most && !c.commit.exists() {
			largest, most = c, c.charge
		}
	}
	l.largest.Store(int64(most))
	return largest
}

// squeeze squeezes a connection that holds more than there is left.
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
// a client that does not read is not sent any more. It must not be in the middle of sending.
func (l *loop) cutOff(c *conn) {
	told := c.phase == phaseOpen && !c.out.writing.Load() && !c.commit.exists()
	l.countCutOff(c, told)
	if !told {
		l.closeUnsent(c)
		return
	}
	c.release()
	l.account(c)
	l.closeNow(c, errBuffersFull)
}

func (l *loop) countCutOff(c *conn, told bool) {
	l.srv.counters.slowConsumers.Add(1)
	l.count.CutOff++
	l.srv.log.Warn(cuttingOff, "remote", c.remote, "input", c.held.input, "output", c.held.output, "told", told)
}

// fail ends a connection to which something could not be sent.
func (l *loop) fail(c *conn, err error) {
	if err == error(errBuffersFull) && c.phase != phaseClosed {
		l.countCutOff(c, false)
		l.closeUnsent(c)
		return
	}
	l.drop(c)
}
