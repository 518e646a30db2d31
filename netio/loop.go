package netio

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"keyframe/codec"
	"keyframe/netio/frame"
)

// loop is what one event loop owns: its connections, and the pipeline that they use in
// turn.
//
// Every method runs on the event loop's goroutine, except those that say otherwise.
type loop struct {
	srv  *Server
	opts *Options // that hold now
	el   eventLoop
	pipe *pipeline

	commit     committer // the pipeline's, or nil
	holding    []held    // connections whose answers wait, the first of them first
	spare      [][]byte  // see keepSpare
	spareBytes int       // their capacity
	released   uint64    // the position that no answer has to wait for

	conns   []*conn
	held    usage         // by all of them
	largest atomic.Int64  // what the one that holds most is charged, or was not long ago
	ready   []*conn       // connections with work left, for their next turn
	running bool          // runReady is at work
	rerun   chan struct{} // wakes the rerunner; capacity 1
	serving *conn         // whose turn the pipeline is in
	pings   int           // how many more the sweep may send
	count   Counters

	makingRoom bool        // see makeRoom
	atEnd      atomic.Bool // it has had its last task; see Server.Stop
	beside     besideTurns

	// Scratch of TLS connections, for what they have sent and are sent.
	opened, sealed []byte

	// published is what other goroutines may read. A copy under a lock that
	// is nearly always free costs a turn 20 ns; an atomic store for each
	// counter would cost 290.
	published struct {
		sync.Mutex
		conns int
		held  usage // as account has it
		Counters
	}
}

// maxKeptOutput is how much of an output buffer that grew a turn leaves for the
// next one.
const maxKeptOutput = 4 << 20

func (s *Server) newLoop(el eventLoop) *loop {
	l := &loop{srv: s, opts: s.live.Load(), el: el, rerun: make(chan struct{}, 1)}
	l.pipe = newPipeline(s, &l.count)
	l.pipe.execute = l.execute
	l.pipe.refusedPage = func(err error) { s.security.refusedPage(l.serving.remote, err) }
	l.pipe.reserve = func(n int) bool { return l.reserve(l.serving, usage{input: n}) }
	if s.gate != nil {
		l.pipe.users = &door{gate: s.gate, log: &s.security, spawn: s.background.Go, stopping: s.stopping}
	}
	if s.opts.Journal != nil {
		l.commitTo(s.opts.Journal)
	}
	stats := func() Stats {
		l.publish()
		return s.Stats() // other loops' counts may lag by the turns that they are in
	}
	l.pipe.info = func() codec.Object {
		st := stats()
		return infoMembers(&st)
	}
	l.pipe.service = &respService{opts: l.opts, clients: &s.respClients, stats: stats, random: rand.Uint64}
	return l
}

// setOptions has other options hold, for the connections that there are, too.
func (l *loop) setOptions(opts *Options) {
	l.opts, l.pipe.service.opts = opts, opts
	for _, c := range l.conns {
		if !c.squeezed {
			c.out.resume.Store(int64(opts.MaxOutputBytes / 2))
		}
	}
}

// open takes in a connection that has been accepted: gc is what gnet calls it, sock its
// socket.
func (l *loop) open(c *conn, gc gnet.Conn, sock socket) {
	now := l.srv.now()
	c.gc, c.loop = gc, l
	if l.srv.gate != nil {
		c.identity = l.newIdentity(c, now)
	}
	if l.commit != nil || c.identity != nil {
		c.commit = &uncommitted{}
	}
	c.lastSeen = now
	c.out.sock = sock
	c.share = l.srv.budget.newShare()
	l.resume(c)
	c.out.spawn = l.srv.spawnWriter
	c.out.reserve = func(n int) bool { return l.reserve(c, usage{output: n}) }
	c.out.report = func(e outboxEvent) { l.execute(func() { l.onOutbox(c, e) }) }
	c.index = int32(len(l.conns))
	l.conns = append(l.conns, c)
}

// serve is one turn of a connection: in are the bytes that have just arrived,
// if any. They are used up or copied when it returns.
func (l *loop) serve(c *conn, in []byte) {
	if c.phase != phaseOpen {
		return
	}
	if l.srv.draining.Load() {
		in = nil // what was read before is answered, no more
	}
	c.active = c.active || len(in) > 0
	l.count.BytesIn += uint64(len(in))
	src, ok := l.input(c, in)
	if !ok {
		l.cutOff(c)
		return
	}
	l.pipe.end = nil
	used, more := 0, false
	switch {
	case c.stalled():
	case c.ready:
		more = true // input is no reason for a turn before the others have had theirs
	default:
		used, more = l.turn(c, src)
	}
	if err := l.send(c); err != nil {
		l.fail(c, err)
		return
	}
	if c.phase != phaseOpen {
		l.account(c)
		return
	}
	if !l.keep(c, src, used) || l.pipe.end == error(errBuffersFull) {
		l.cutOff(c)
		return
	}
	if c.held != (usage{}) {
		l.account(c)
	}
	l.pauseIfBehind(c)
	if c.charge > 0 || c.squeezed {
		l.squeeze(c)
	}
	if c.phase == phaseOpen && (c.squeezed || (c.stalled() || more) && c.pending.Len() > l.parkAt(c)) {
		l.park(c)
	}
	switch {
	case c.phase != phaseOpen:
	case c.stalled():
	case more:
		l.reschedule(c)
	case c.detached:
		l.finishDetached(c)
	case l.srv.draining.Load():
		l.closeNow(c, &frame.CloseError{Code: frame.CloseGoingAway, Reason: "the server is stopping"})
	case c.parked && !c.squeezed:
		l.unpark(c)
	}
}

// pauseIfBehind gives a connection no more turns if its client has too much to read. Only
// the outbox's report ends the pause: input that comes in between must not, or what is
// pending would not be served.
func (l *loop) pauseIfBehind(c *conn) {
	if int(c.out.unread.Load()) >= l.opts.MaxOutputBytes {
		c.paused = true
	}
}

// turn serves what it can of src and returns how much of it is used up, and
// whether there is work left that needs no further bytes.
func (l *loop) turn(c *conn, src []byte) (used int, more bool) {
	l.pipe.identity, l.serving = c.identity, c
	if c.commit != nil && c.commit.waits != nil {
		if l.pipe.answerWaiting(c.framing, c.commit.waits) {
			c.commit.waits = nil
		}
		if c.framing = l.pipe.framing; l.pipe.end != nil {
			l.linger(c)
		}
		return 0, true
	}
	if c.framing == nil {
		row := chooseFraming(src)
		if row == nil {
			if c.identity.isNobody() && len(src) > maxUnknownBytes {
				l.endUnknown(c)
			}
			return 0, false
		}
		if c.identity != nil && !row.users {
			l.pipe.out = append(l.pipe.out, row.refuse(codec.StatusDenied, "this protocol is not served to users")...)
			l.linger(c)
			return len(src), false
		}
		c.framing = row.make(l.opts)
		if f, ok := c.framing.(*respFraming); ok {
			l.join(c, f)
		}
	}
	t, next, end := l.pipe.run(c.framing, src, c.pending.Len() > 0, c.unfinished)
	c.framing, c.unfinished = next, t.unfinished
	if t.waits != nil {
		c.commit.waits = t.waits
		t.waits.goOn = func() { l.serve(c, nil) }
	}
	if end == error(errBuffersFull) {
		return t.used, false // serve cuts it off
	}
	if end != nil {
		if _, refused := end.(*upgradeError); refused {
			l.srv.log.Debug("upgrade refused", "remote", c.remote, "reason", end)
		}
		l.linger(c)
	}
	return t.used, t.more
}

// send sends the turn's output, or holds it back.
func (l *loop) send(c *conn) (err error) {
	out := l.pipe.out
	held := false
	if l.commit != nil {
		held, err = l.hold(c, out)
	}
	if err == nil && !held {
		err = l.transmit(c, out)
	}
	l.pipe.out = out[:0]
	if cap(out) > maxKeptOutput {
		l.pipe.out = nil
	}
	return err
}

// transmit sends out, and with the last of a connection's output begins its lingering.
func (l *loop) transmit(c *conn, out []byte) error {
	l.count.BytesOut += uint64(len(out))
	l.publish()
	if c.tls != nil {
		sealed, err := l.seal(c, out)
		if err != nil {
			return err
		}
		out = sealed
	}
	err := c.out.send(out)
	if err == nil && c.phase == phaseLinger {
		c.release()
		c.out.finish()
		if !c.out.writing.Load() {
			c.deadline = l.srv.now().Add(lingerTimeout)
		}
	}
	return err
}

// reschedule gives a connection a further turn after the others have had theirs.
func (l *loop) reschedule(c *conn) {
	if c.ready {
		return
	}
	c.ready = true
	l.ready = append(l.ready, c)
	if len(l.ready) == 1 && !l.running {
		l.rerun <- struct{}{}
	}
}

// runReady gives the connections that wait their turns, in their order, until all have had
// one or readyTime is over.
func (l *loop) runReady() {
	waiting := l.ready
	l.ready = nil
	l.running = true
	for began := l.srv.now(); len(waiting) > 0; {
		c := waiting[0]
		waiting = waiting[1:]
		c.ready = false
		l.serve(c, nil)
		if l.srv.now().Sub(began) >= l.srv.shares.readyTime {
			break
		}
	}
	if l.beside.job != nil {
		l.askBesideTurn()
	}
	l.running = false
	l.ready = append(waiting, l.ready...)
	if len(l.ready) > 0 {
		l.rerun <- struct{}{}
	}
}

// rerunner is a goroutine beside the loop that asks it to go on with the connections
// that have work left. The loop can't ask itself: gnet runs tasks until there are no
// more and only then looks at the sockets, so a loop that kept asking itself would
// never look. Another goroutine, asked as the last thing of a task, lets it look
// first. At most one rerun is under way: the next one is sent by the runReady that
// this one causes, so sending never blocks.
func (l *loop) rerunner() {
	for {
		select {
		case <-l.rerun:
			l.execute(l.runReady)
		case <-l.srv.stopped:
			return
		}
	}
}

// execute runs f on the loop. It may be called from any goroutine; f is dropped
// when the loop has ended.
func (l *loop) execute(f func()) {
	l.srv.mu.RLock()
	defer l.srv.mu.RUnlock()
	if l.srv.ended {
		return
	}
	l.el.execute(f)
}

// onOutbox takes what a connection's writer reports.
func (l *loop) onOutbox(c *conn, e outboxEvent) {
	if e == outboxCaughtUp {
		// It has read half of what it may leave unread, and so is not slow, though its
		// next turn may fill the outbox up at once.
		c.behindSince = time.Time{}
	}
	l.account(c)
	switch {
	case c.phase == phaseClosed:
		l.returnShare(c)
	case e == outboxDrained && c.out.writing.Load():
		// This writer has ended, but what it reported before had the connection served,
		// which has begun another. That one will report its own end.
	case e == outboxFailed:
		l.drop(c)
	case e == outboxStalled && c.phase == phaseLinger:
		if c.out.unread.Load() > 0 { // it may have taken all since, and the last of it be held back
			l.closeUnsent(c)
		}
	case e == outboxStalled && c.squeezed:
		l.relieveOrCutOff(c)
	case e == outboxStalled:
		if c.paused {
			l.slowConsumer(c, "it takes nothing")
		}
	case c.phase == phaseLinger:
		switch {
		case c.commit.exists(): // the last of it is not in the outbox yet
		case e == outboxDrained && c.detached:
			l.drop(c)
		case e == outboxDrained:
			c.deadline = l.srv.now().Add(lingerTimeout)
		}
	case c.paused || c.detached:
		c.squeezed = false
		l.resume(c)
		l.serve(c, nil)
	}
}

// publish makes the loop's counters visible to other goroutines.
func (l *loop) publish() {
	l.published.Lock()
	l.published.conns = len(l.conns)
	l.published.Counters = l.count
	l.published.Unlock()
}
