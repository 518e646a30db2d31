package netio

import (
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"
)

// This file is what happens to a connection, a step each: its bytes come, are read and answered,
// time passes, and it ends.

// turn has f serve a client's connection, and checks the state in which it leaves it.
func (s *sim) turn(c *simClient, f func()) {
	s.serving = c
	before, conn := c.conn.phase, c.conn
	paused, parked, squeezed, unread := conn.paused, conn.parked, conn.squeezed, conn.out.unread.Load()
	held := conn.commit.exists() // a ping, perhaps
	f()
	s.serving = nil
	if conn.resume.More {
		s.reach("a command that goes on in another turn")
	} else if conn.check != nil {
		s.reach("a command that is checked on in another turn")
	}
	if paused && !held && conn.phase == phaseOpen && conn.out.unread.Load() > unread {
		s.fatalf("client %d: it is answered though it is paused", c.id)
	}
	if conn.paused && !paused {
		s.reach("a connection that is paused")
	}
	if conn.parked && !parked {
		s.reach("a connection that is parked")
	}
	if conn.squeezed && !squeezed {
		s.reach("a connection that is squeezed")
	}
	s.checkBudget()
	s.ended(c, before)
}

// checkBudget checks that what the connections hold is what has been counted, and what is
// charged for it, and that no more is held than there is. A writer may still have in hand
// what was a connection's that has ended.
func (s *sim) checkBudget() {
	b := &s.srv.budget
	charges, total := 0, 0
	for _, el := range s.loops {
		var held usage
		for _, client := range s.clients {
			c := client.conn
			if c.loop != el.loop {
				continue
			}
			held.add(c.held)
			charges += c.charge
			if u := c.usage(); u.input != c.held.input || u.output > c.held.output {
				s.fatalf("client %d: it holds %+v, %+v are counted", client.id, u, c.held)
			}
			if want := max(0, c.held.input+c.held.output-int(c.share)); c.charge != want {
				s.fatalf("client %d: %d are charged for %+v, want %d", client.id, c.charge, c.held, want)
			}
		}
		if held != el.loop.held {
			s.fatalf("%+v are held, %+v are counted", held, el.loop.held)
		}
		total += held.input + held.output
	}
	if int64(total) > b.limit || int64(charges-s.heldBefore)+b.reserved > b.limit {
		s.fatalf("%d are held and %d charged, of %d, of which %d are reserved", total, charges, b.limit, b.reserved)
	}
	if used := b.used.Load(); int64(charges) != used {
		s.fatalf("%d are charged in sum, %d are counted", charges, used)
	}
}

// ended records that the server has begun to end a connection.
func (s *sim) ended(c *simClient, before phase) {
	switch {
	case s.draining && before == phaseOpen && c.conn.phase == phaseClosed && (c.excused == notDuplicated || c.excused == cutOffUntold) && c.speaksWebSocket():
		c.farewell = []byte(closeFrame(1001, "the server is stopping")) // there may have been room for a part of it
	case before != phaseOpen || c.conn.phase == phaseOpen || c.excused != "":
	case s.draining && c.conn.phase == phaseLinger:
		s.mustBeServed(c)
		c.excused = "the server stops"
		if c.speaksWebSocket() {
			c.farewell = []byte(closeFrame(1001, "the server is stopping"))
		}
	case !c.halved && !(c.ending && c.conn.phase == phaseLinger):
		s.fatalf("client %d: the server closes the connection, for no reason", c.id)
	}
}

// mustBeServed checks that every command that has reached the server whole has been
// executed.
func (s *sim) mustBeServed(c *simClient) {
	for i := range c.expected[c.head:] {
		if e := &c.expected[c.head+i]; e.needsStore() {
			if e.end <= min(c.delivered, c.limit) {
				s.fatalf("client %d: %s, sent whole, is not executed", c.id, e.name)
			}
			return
		}
	}
}

// deliver has the next n bytes of a client arrive.
func (s *sim) deliver(c *simClient, n int) {
	if n = min(n, c.out.len()); n == 0 || c.gc.closed || c.sock.dead {
		return
	}
	s.trace("client %d: %d bytes of %d arrive", c.id, n, c.out.len()+n)
	s.lent = append(s.lent[:0], c.out.take(n)...)
	if c.tls != nil {
		c.delivered += c.tls.arrived(c.delivered, n)
	} else {
		c.delivered += n
	}
	c.moved = s.now
	if c.conn.paused {
		s.reach("input for a paused connection")
	}
	if s.draining {
		s.reach("input for a server that stops")
	}
	if c.conn.resume.More {
		s.reach("a command that goes on after its bytes were cut")
	}
	if s.compacting {
		s.reach("a command in the middle of a compaction")
	}
	if s.snapshots > 0 {
		s.reach("a command in the middle of a snapshot")
	}
	s.turn(c, func() { s.receive(c, s.lent) })
	for i := range s.lent {
		s.lent[i] = 0xCC
	}
}

// read has a client take n bytes of what its socket holds.
func (s *sim) read(c *simClient, n int) {
	k := c.sock
	if n = min(n, k.buf.len()); n > 0 && !k.dead {
		s.trace("client %d reads %d of %d bytes", c.id, n, k.buf.len())
		b := k.buf.take(n)
		if c.tls != nil {
			b = c.tls.open(c, b)
		}
		c.receive(b)
	}
}

// write is a step of a writer.
func (s *sim) write(c *simClient) {
	if w := c.writer; w != nil && (c.sock.buf.len() < c.sock.room || c.sock.dead || s.rng.IntN(4) == 0 && !s.quiet) {
		s.trace("client %d: its writer, %d bytes of room", c.id, c.sock.room-c.sock.buf.len())
		w.step()
		if c.writer == nil {
			s.reach("a writer ends")
		}
	}
}

// rerun is what a rerunner and the event loop do, one connection at a time, so that the
// model knows whose batch the store is given.
func (s *sim) rerun(el *simLoop) {
	l := el.loop
	select {
	case <-l.rerun:
	default:
		return
	}
	waiting := slices.Clone(l.ready)
	var rest []*conn
	for _, c := range waiting {
		l.ready = []*conn{c}
		if client := s.clientOf(c); client != nil {
			s.trace("client %d: another turn", client.id)
			s.turn(client, l.runReady)
		} else {
			l.runReady() // it has ended
		}
		select {
		case <-l.rerun:
		default:
		}
		rest = append(rest, l.ready...)
	}
	if l.ready = rest; len(rest) > 0 {
		l.rerun <- struct{}{}
	}
}

// task runs what a loop was given to execute.
func (s *sim) task(el *simLoop) {
	if len(el.tasks) > 0 {
		f := el.tasks[0]
		el.tasks = el.tasks[1:]
		if s.disk == nil {
			f()
			return
		}
		// What it allows to leave is let go later, one connection at a time.
		held := el.loop.holding
		el.loop.holding = nil
		f()
		el.loop.holding = append(held, el.loop.holding...)
	}
}

func (s *sim) onOutbox(c *simClient, e outboxEvent) {
	s.trace("client %d: its outbox reports %d", c.id, e)
	paused, squeezed := c.conn.paused, c.conn.squeezed
	slow, cut := s.ends()
	s.serving = c
	before := c.conn.phase
	if e == outboxFailed && !c.sock.dead && before != phaseClosed {
		s.fatalf("client %d: its outbox failed", c.id)
	}
	if e == outboxStalled {
		s.overdue = c
	}
	c.conn.loop.onOutbox(c.conn, e)
	s.serving, s.overdue = nil, nil
	slowNow, cutNow := s.ends()
	if slowNow > slow {
		s.slow(c)
	}
	if cutNow > cut {
		c.excuse("it is cut off with answers unread")
	}
	if squeezed && !c.conn.squeezed && c.conn.phase == phaseOpen {
		s.reach("a squeezed connection goes on")
	}
	if paused && !c.conn.paused && c.conn.phase == phaseOpen {
		s.reach("a paused connection goes on")
	}
	s.ended(c, before)
}

// cutOffUntold excuses a connection that is ended for what it holds. The server may have begun to
// end it for another reason: its socket took a part of that, and there was no memory for the rest.
const cutOffUntold = "it is cut off for what it holds"

// cutOff records that a client's connection is about to end for what it holds, and whether
// it is told so.
func (s *sim) cutOff(id int, told bool) {
	c := s.clients[slices.IndexFunc(s.clients, func(c *simClient) bool { return c.id == id })]
	s.trace("client %d is cut off, %d are left", id, s.srv.budget.left())
	if c.conn.charge == 0 && c != s.serving { // else it is about to hold more
		s.fatalf("client %d is cut off, and holds no more than its share", id)
	}
	for _, other := range c.conn.loop.conns {
		if c != s.overdue && c != s.serving && s.serving != nil && other != s.serving.conn && other.charge > c.conn.charge && !other.commit.exists() {
			s.fatalf("client %d is cut off, though client %d holds more", id, s.clientOf(other).id)
		}
	}
	c.excuse(cutOffUntold)
	if !told {
		if c.conn.out.unread.Load() > 0 {
			s.cutUnsent++
		}
		return
	}
	c.excuse("it is cut off and told so")
	if c.speaksWebSocket() {
		c.farewell = []byte(closeFrame(1008, errBuffersFull.Reason))
	} else {
		c.farewell = fmt.Appendf(nil, `{"SERVER_ERROR":{"s":5,"m":"%s"}}`+"\n", errBuffersFull.Reason)
	}
}

// slow records that a client was closed because it doesn't read.
func (s *sim) slow(c *simClient) {
	c.excuse("a slow consumer")
	if c.speaksWebSocket() {
		c.farewell = []byte(closeFrame(1008, "slow consumer: responses are not being read"))
	}
}

// rejoin ends what enroll began.
func (s *sim) rejoin(c *simClient) {
	failed := c.enrolling
	if failed == nil {
		return
	}
	c.enrolling = nil
	if s.rng.IntN(10) == 0 && !s.quiet {
		s.trace("client %d: it can't come back", c.id)
		c.sock.close()
		c.excuse("it is lost on the way back to its loop")
		failed(syscall.EMFILE)
		return
	}
	s.trace("client %d: watched again", c.id)
	gc := &simConn{client: c, context: c.conn}
	s.turn(c, func() {
		c.gc = gc
		if c.conn.loop.reopen(c.conn, gc, c.sock) != 0 {
			gc.close(nil)
			return
		}
		s.reach("a parked connection is watched again")
		if c.sock.dead {
			gc.close(syscall.ECONNRESET)
		}
	})
}

// sweep lets time pass, and has every loop look at its connections.
func (s *sim) sweep() {
	if !s.quiet && s.rng.IntN(2) == 0 {
		// A loop that has something to do doesn't leave it for long.
		for _, el := range s.loops {
			for len(el.tasks) > 0 || len(el.loop.rerun) > 0 {
				s.rerun(el)
				s.task(el)
			}
		}
		s.now = s.now.Add(time.Duration(s.rng.Int64N(int64(time.Second) << s.rng.IntN(14))))
	}
	for _, el := range s.loops {
		before := make(map[*simClient]phase)
		for _, c := range s.clients {
			before[c] = c.conn.phase
			if c.conn.loop != el.loop {
				delete(before, c)
			}
		}
		pinged := make(map[*simClient]bool)
		for c := range before {
			pinged[c] = c.conn.pinged
		}
		el.loop.pings = el.loop.mayPing()
		for i := len(el.loop.conns) - 1; i >= 0; i-- {
			if i >= len(el.loop.conns) { // others have been cut off
				continue
			}
			c := s.clientOf(el.loop.conns[i])
			squeezed, detached := c.conn.squeezed, c.conn.detached
			s.serving = c
			slow, cut := s.ends()
			idle, shake := el.loop.count.Errors[ErrorIdleTimeout], el.loop.count.Errors[ErrorHandshakeTimeout]
			el.loop.sweepConn(c.conn, s.now)
			s.serving = nil
			slowNow, cutNow := s.ends()
			if squeezed && !c.conn.squeezed && c.conn.phase == phaseOpen {
				s.reach("a squeezed connection goes on")
			}
			switch {
			case slowNow > slow:
				s.slow(c)
			case el.loop.count.Errors[ErrorIdleTimeout] > idle:
				unanswered := pinged[c] && s.now.Sub(c.moved) > s.opts.PingInterval
				// The server knows when it has last seen a client, which may be some time after it moved.
				idle := s.opts.IdleTimeout > 0 && min(s.now.Sub(c.moved), s.now.Sub(c.conn.lastSeen)) >= s.opts.IdleTimeout
				if !idle && (!unanswered || detached) { // who has shut its side down, as far as the server knows, can't answer
					s.fatalf("client %d: closed as idle after %v, pinged %v, detached %v", c.id, s.now.Sub(c.moved), pinged[c], detached)
				}
				if !c.conn.detached && c.conn.phase != phaseClosed && !c.conn.paused && !c.conn.parked {
					s.mustBeServed(c)
				}
				switch reason := "idle for " + s.opts.IdleTimeout.String(); {
				case !idle:
					c.excuse("it doesn't answer a ping")
					c.farewell = []byte(closeFrame(1001, "no answer to a ping"))
				case c.speaksWebSocket():
					c.excuse("it was idle")
					c.farewell = []byte(closeFrame(1001, reason))
				default:
					c.excuse("it was idle")
					c.farewell = fmt.Appendf(nil, `{"SERVER_ERROR":{"s":6,"m":"%s"}}`+"\n", reason)
				}
			case el.loop.count.Errors[ErrorHandshakeTimeout] > shake:
				c.excuse("a handshake that takes too long")
			case cutNow > cut:
				c.excuse("it is cut off with answers unread")
			}
			if c.conn.pinged && !pinged[c] {
				c.pings++
				s.reach("a silent client is pinged")
			}
			s.ended(c, before[c])
		}
		if c := el.loop.longSqueezed(); c != nil {
			s.serving = s.clientOf(c)
			s.overdue = s.serving
			el.loop.relieveOrCutOff(c)
			s.serving, s.overdue = nil, nil
		}
		el.loop.limitTurns()
		for _, c := range s.clients { // one that was squeezed may have had its turn, a last one if the server stops
			if phase, swept := before[c]; swept {
				s.ended(c, phase)
			}
		}
		s.checkBudget()
	}
}

// ends are how many connections have been ended as slow, and with answers unread, without
// those that were cut off for what they hold.
func (s *sim) ends() (slow uint64, unsent int64) {
	slow, unsent = s.srv.counters.slowConsumers.Load(), s.srv.counters.closedUnsent.Load()-s.cutUnsent
	for _, el := range s.loops {
		slow -= el.loop.count.CutOff
	}
	return slow, unsent
}

// halfClose has a client shut its sending side down, after all that it has sent.
func (s *sim) halfClose(c *simClient) {
	if c.gc.closed || c.halved || c.sock.dead || c.sock.shut {
		return
	}
	if c.tls != nil && !c.tls.isFalse && s.rng.IntN(3) > 0 {
		s.trace("client %d says that it sends no more", c.id)
		if c.tls.close(c); s.rng.IntN(3) > 0 { // and its socket stays open
			return
		}
	}
	s.deliver(c, c.out.len())
	if c.gc.closed || c.conn.parked { // gnet has lost sight of it
		return
	}
	s.trace("client %d shuts its side down", c.id)
	c.halved = true
	if c.next() != nil && c.excused == "" && !c.ending {
		s.reach("a client shuts its side down with answers due")
	}
	s.turn(c, func() { c.gc.close(io.EOF) })
}

// reset has a client die.
func (s *sim) reset(c *simClient) {
	s.trace("client %d resets", c.id)
	c.sock.dead = true
	c.excuse("its client has reset it")
	s.turn(c, func() { c.gc.close(syscall.ECONNRESET) })
}

// leave closes the client's side once the server has closed, and removes the client once
// nothing is left of the connection.
func (s *sim) leave(c *simClient) {
	gone := c.sock.shut || c.sock.descriptors == 0 || c.conn.phase == phaseClosed
	if gone && c.sock.buf.len() == 0 && c.writer == nil && !c.gc.closed && !c.sock.dead {
		s.trace("client %d closes", c.id)
		c.halved = true
		s.turn(c, func() { c.gc.close(io.EOF) })
	}
	if c.conn.phase != phaseClosed || c.writer != nil || c.enrolling != nil || c.sock.buf.len() > 0 && !c.sock.dead {
		return
	}
	for _, el := range s.loops {
		for range el.tasks { // some may be about this connection
			s.task(el)
		}
	}
	if c.excused == "" {
		if e := c.next(); e != nil && e.end <= c.limit || len(c.want) > 0 || len(c.got) > 0 || !c.http.isWhole() && !c.ending && c.sent <= c.limit {
			s.fatalf("client %d: its connection has ended with %d elements unanswered, %d texts not received, and %q over: %s", c.id, len(c.expected)-c.head, len(c.want), c.got, s.describe())
		}
	}
	if c.tls != nil && c.excused == "" && c.sock.shut && !c.tls.hasEnded {
		s.fatalf("client %d: the server does not say in TLS that nothing more comes", c.id)
	}
	if c.excused == falseRecord && c.sock.shut && !c.tls.alerted {
		s.fatalf("client %d: it is not told of its false record", c.id)
	}
	if c.ending && c.excused == "" && !c.halved && !c.sock.shut {
		s.fatalf("client %d: nothing showed it the end", c.id)
	}
	if c.sock.descriptors != 0 {
		s.fatalf("client %d: %d descriptors are left", c.id, c.sock.descriptors)
	}
	s.spare.leave(c)
	s.clients = slices.DeleteFunc(s.clients, func(other *simClient) bool { return other == c })
}
