package netio

import (
	"errors"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/netio/frame"
)

// loop is what one event loop owns: the scratch that all its connections use in
// turn, and the list of them.
//
// Every method runs on the event loop's goroutine, except those that say
// otherwise. Scratch lives here and not in conn, so that an idle connection
// costs next to nothing and a busy one finds the scratch warm.
type loop struct {
	srv    *Server
	el     eventLoop
	shares shares

	// Scratch of a turn.
	dec      *codec.Decoder
	args     []codec.Arg
	queue    []queued
	refusals []*codec.Refusal // of the refused ones in the queue
	batch    engine.Batch
	out      []byte // responses, sent at the end of the turn
	text     []byte // one response that is not framed yet
	ops      int    // operations and commands of the turn so far
	stop     int    // where a turn that had to stop goes on

	conns   []*conn
	ready   []*conn       // connections with work left, for their next turn
	running bool          // runReady is at work
	kick    chan struct{} // wakes the kicker; capacity 1
	count   Counters
	untimed int // batches since the last one that was timed

	// published is what other goroutines may read. A copy under a lock that
	// is nearly always free costs a turn 20 ns; an atomic store for each
	// counter would cost 290.
	published struct {
		sync.Mutex
		conns int
		Counters
	}
}

// maxKeptOutput is how much of an output buffer that grew a turn leaves for the
// next one.
const maxKeptOutput = 4 << 20

// maxKeptText is how much of the memory that a response needed is left for the next:
// the refusal of an unknown command repeats its name, which may be long.
const maxKeptText = 64 << 10

func (s *Server) newLoop(el eventLoop) *loop {
	dec, err := codec.NewDecoder(codec.Options{AnyValues: s.opts.AnyValues})
	if err != nil {
		panic("BUG: netio: " + err.Error()) // the options are ours
	}
	return &loop{srv: s, el: el, shares: s.shares, dec: dec, kick: make(chan struct{}, 1)}
}

// open takes in a connection that has been accepted: gc is what gnet calls it, sock its
// socket.
func (l *loop) open(c *conn, gc gnet.Conn, sock socket) {
	now := l.srv.now()
	c.gc, c.loop = gc, l
	c.ws.MaxMessage = l.srv.opts.MaxFrameBytes
	c.lastSeen = now
	c.deadline = now.Add(l.srv.opts.HandshakeTimeout)
	c.out.sock = sock
	c.out.resume = int64(l.srv.opts.MaxOutputBytes / 2)
	c.out.spawn = l.srv.spawnWriter
	c.out.report = func(e outboxEvent) { l.execute(func() { l.onOutbox(c, e) }) }
	c.index = len(l.conns)
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
	src := c.input(in)
	used, more := 0, false
	if !c.paused {
		used, more = l.turn(c, src)
	}
	c.keep(src, used)
	if err := l.send(c); err != nil {
		l.drop(c)
		return
	}
	if c.phase != phaseOpen {
		return
	}
	// Only the outbox's report ends a pause: input that comes in between must
	// not, or nobody would serve what is pending.
	if int(c.out.unread.Load()) >= l.srv.opts.MaxOutputBytes {
		c.paused = true
	}
	if (c.paused || more) && len(c.pending)-c.start > l.shares.parkBytes {
		l.park(c)
	}
	switch {
	case c.phase == phaseClosed:
	case c.paused:
	case more:
		l.again(c)
	case c.detached:
		l.finishDetached(c)
	case l.srv.draining.Load():
		l.closeNow(c, &frame.CloseError{Code: frame.CloseGoingAway, Reason: "the server is stopping"})
	case c.parked:
		l.unpark(c)
	}
}

// turn serves what it can of src and returns how much of it is used up, and
// whether there is work left that needs no further bytes.
func (l *loop) turn(c *conn, src []byte) (used int, more bool) {
	l.ops = 0
	for {
		framing := c.framing
		switch framing {
		case framingUnknown:
			c.framing = chooseFraming(src)
		case framingHandshake:
			used = l.serveHandshake(c, src)
		case framingLines:
			used, more = l.serveLines(c, src)
		case framingWebSocket:
			n, m := l.serveWebSocket(c, src[used:])
			used, more = used+n, m
		}
		if c.framing == framing || c.phase != phaseOpen {
			return used, more
		}
	}
}

// serveHandshake answers an upgrade request.
func (l *loop) serveHandshake(c *conn, src []byte) (used int) {
	answer, used, err := upgrade(src)
	if errors.Is(err, frame.ErrIncomplete) {
		return 0
	}
	l.out = append(l.out, answer...)
	if err != nil {
		l.count.Errors[ErrorUpgrade]++
		l.srv.log.Debug("upgrade refused", "remote", c.remote, "reason", err)
		c.phase = phaseLinger
		return used
	}
	c.framing = framingWebSocket
	return used
}

// serveLines serves JSON Lines.
func (l *loop) serveLines(c *conn, src []byte) (used int, more bool) {
	for c.phase == phaseOpen {
		if l.spent() {
			more = used < len(src)
			break
		}
		line, size, err := nextLine(src[used:], c.scanned, l.srv.opts.MaxFrameBytes)
		if err == frame.ErrIncomplete {
			c.scanned = len(src) - used
			break
		}
		c.scanned = 0
		if err != nil {
			l.count.Frames++
			if !l.flush(c) {
				return l.stop, true
			}
			l.close(c, errLineTooLong)
			return len(src), false
		}
		if isBlank(line) {
			l.ops++ // a share of the turn, though nothing is answered
			l.count.Frames++
			used += size
			continue
		}
		if !l.take(c, line, used) {
			if l.stop == used {
				c.scanned = len(line) // known to hold no newline
			}
			return l.stop, true
		}
		used += size
	}
	if !l.flush(c) {
		c.scanned = 0
		return l.stop, true
	}
	return used, more
}

// serveWebSocket serves WebSocket frames.
func (l *loop) serveWebSocket(c *conn, src []byte) (used int, more bool) {
	if c.assembled && !l.takeAssembled(c, used) {
		return l.stop, true
	}
	for c.phase == phaseOpen {
		if l.spent() {
			more = used < len(src)
			break
		}
		h, err := frame.ParseFromClient(src[used:], l.srv.opts.MaxFrameBytes)
		if err == nil && h.Fin && h.Opcode == frame.Text && !c.ws.Joining() {
			// A plain text message: these gather in the batch.
			if len(src)-used < h.Size+h.Length {
				break
			}
			at := used
			used += h.Size + h.Length
			if !l.take(c, frame.Open(src[at:], h), at) {
				return l.stop, true
			}
			continue
		}
		if err == frame.ErrIncomplete {
			break
		}
		if err == nil && h.Opcode == frame.Binary {
			err = &frame.CloseError{Code: frame.CloseUnsupported, Reason: "commands are text messages"}
		}
		// Whatever else comes must not be taken before the batch is through:
		// if the batch stops half way, the turn goes back to the command it
		// stopped in, and what follows that command is read once more.
		if !l.flush(c) {
			return l.stop, true
		}
		var m frame.Message
		var size int
		if err == nil {
			m, size, err = c.ws.Take(src[used:], h)
		}
		if err == frame.ErrIncomplete {
			break
		}
		l.ops++
		l.count.Frames++
		if err != nil {
			l.close(c, err)
			return len(src), false
		}
		used += size
		switch {
		case m.Joined:
			c.assembled = true
			if !l.takeAssembled(c, used) {
				return l.stop, true
			}
		case m.Opcode == frame.Ping:
			l.out = frame.AppendControl(l.out, frame.Pong, m.Payload)
		case m.Opcode == frame.Close:
			l.close(c, frame.CloseReply(m.Payload))
		}
	}
	if !l.flush(c) {
		return l.stop, true
	}
	return used, more
}

// takeAssembled serves the message that c.ws has joined from fragments. It goes
// through the batch alone: the next fragment would overwrite it.
func (l *loop) takeAssembled(c *conn, at int) bool {
	if !l.take(c, c.ws.Fragments(), at) || !l.flush(c) {
		return false
	}
	c.assembled = false
	c.releaseMessage()
	return true
}

// send sends the turn's output, and with the last of a connection's output
// begins its lingering.
func (l *loop) send(c *conn) error {
	l.count.BytesOut += uint64(len(l.out))
	l.publish()
	err := c.out.send(l.out)
	l.out = l.out[:0]
	if cap(l.out) > maxKeptOutput {
		l.out = nil
	}
	if err == nil && c.phase == phaseLinger {
		c.pending, c.start = nil, 0
		c.releaseMessage()
		c.out.finish()
		if !c.out.writing.Load() {
			c.deadline = l.srv.now().Add(lingerTimeout)
		}
	}
	return err
}

// again gives a connection a further turn after the others have had theirs.
func (l *loop) again(c *conn) {
	if c.ready {
		return
	}
	c.ready = true
	l.ready = append(l.ready, c)
	if len(l.ready) == 1 && !l.running {
		l.kick <- struct{}{}
	}
}

// runReady gives every connection that waits its turn.
func (l *loop) runReady() {
	waiting := l.ready
	l.ready = nil
	l.running = true
	for _, c := range waiting {
		c.ready = false
		l.serve(c, nil)
	}
	l.running = false
	if len(l.ready) > 0 {
		l.kick <- struct{}{}
	}
}

// kicker runs beside the loop and asks it to go on with the connections that
// have work left. The loop can't ask itself: gnet runs tasks until there are no
// more before it looks at the sockets again, so a loop that went on triggering
// itself would never look. The way through another goroutine, taken as the last
// thing of a task, lets it look first. At most one kick is under way: the next
// one is sent by the runReady that this one brings about, so sending never
// blocks.
func (l *loop) kicker() {
	for {
		select {
		case <-l.kick:
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
		// It has read half of what it may leave unread, and so isn't behind, though
		// its next turn fills the outbox up again at once.
		c.behindSince = time.Time{}
	}
	switch {
	case c.phase == phaseClosed:
	case e == outboxDrained && c.out.writing.Load():
		// A writer's last report, and its report before that had the connection served:
		// another is at work already, whose own last report is to come.
	case e == outboxFailed:
		l.drop(c)
	case e == outboxStalled && c.phase == phaseLinger:
		l.cutOff(c)
	case e == outboxStalled:
		if c.paused {
			l.slowConsumer(c, "it takes nothing")
		}
	case c.phase == phaseLinger:
		switch {
		case e == outboxDrained && c.detached:
			l.drop(c)
		case e == outboxDrained:
			c.deadline = l.srv.now().Add(lingerTimeout)
		}
	case c.paused || c.detached:
		c.paused = false
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
