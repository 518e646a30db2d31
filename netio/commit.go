package netio

import (
	"bytes"
	"slices"
	"sort"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/netio/access"
)

// This file is what may stand between the commands of a loop, the store and the clients.
// The stages of a batch, and the doors between them:
//
//	decoded ─► may it change anything?   refuses
//	                │    no: its writes are answered at once, and not executed
//	                ▼
//	ordered ─► applied ─► handed on      apply, and submit for what is applied later:
//	                │                    the batch waits, and owns its bytes
//	                ▼
//	answered ─► held ─► sent             position, loop.release
//	                until what the answers tell of is safe
//
// A journal applies a batch at once, takes its effects (engine.Batch.Effects), and has
// the answers held until they are on disk. A log that several servers agree on takes the
// batch, and applies it when its turn has come. Until then, and as long as an answer is
// held, the connection has no turns: so nothing of its own overtakes it. Other
// connections go on.

// committer decides when the commands of a loop are executed, and when their answers may
// leave. A loop without one pays for a comparison a batch and one a turn.
//
// Its methods are called on the loop. What it is given to call it calls once, from any
// goroutine.
type committer interface {
	// refuses returns the status that writes are answered with now instead of being
	// executed, one that they can have, and why; codec.StatusOK: they are not refused. It
	// is asked once a turn.
	refuses() (st codec.Status, why string)

	// apply has the store apply the batch, as store.Apply does, and returns true; or it
	// does nothing and returns false. Then submit follows, with a batch that owns its
	// bytes and is the committer's until it calls applied.
	apply(b *engine.Batch) (now bool)
	submit(b *engine.Batch, applied func())

	// clear has the store remove all keys and, in the same step, execute the batch, if that
	// is not nil; or it returns false, and submitClear follows, with a batch as submit's.
	clear(b *engine.Batch) (keys int, now bool)
	submitClear(b *engine.Batch, cleared func(keys int))

	// seesAll is told that what is being answered depends on the whole store, not only on
	// what apply was given.
	seesAll()

	// position returns the place, in the committer's order, of the last of what the
	// answers depend on that have been made since it was last asked. They leave when the
	// loop has been released up to there; see loop.release.
	position() uint64

	// isFull reports whether so much waits to be safe that a connection without answers
	// has to wait as well.
	isFull() bool
}

// seesStore reports whether the answer of a command about the whole store tells of keys: PING's
// does not, and who asks how the server is waits for no disk.
func seesStore(effect codec.Effect) bool {
	return effect != codec.EffectPing && effect != codec.EffectServerInfo
}

// waiting is a batch, or a CLEAR, that has been submitted, with what its answers are made
// from. It belongs to the loop, except for the batch.
type waiting struct {
	admitted
	isJoined bool // the command came in fragments

	store codec.Opcode  // a command about the whole store, whose pairs are the batch
	extra *codec.Extra  // its own
	keys  int           // its answer
	saved codec.Object  // or that
	login *access.Login // or that
	err   error         // or why there is none
	hello *helloOptions // of a HELLO that waits for a password
	proof *unit         // an upgrade that is answered when its proof is right

	applied bool
	goOn    func() // what the loop is to do when it is applied
}

// submit has the batch that apply did not want wait. The turn is over; the connection
// goes on at next, where part has been executed.
func (p *pipeline) submit(next int, part codec.Command) {
	p.time() // by which it is applied, if there is a key with a deadline by then
	w := &waiting{isJoined: p.isJoined, admitted: admitted{
		args: slices.Clone(p.args), queue: slices.Clone(p.queue), refusals: slices.Clone(p.refusals), extras: slices.Clone(p.extras), batch: p.batch,
		replies: slices.Clone(p.replies), said: bytes.Clone(p.said),
	}}
	w.batch.Own()
	args := w.args
	for _, q := range w.queue {
		if q.op.Shape() == codec.ShapeRenames {
			for i := range args[:q.args] {
				args[i].Value = bytes.Clone(args[i].Value) // it is in the answer
			}
		} else {
			for i := range args[:q.args] {
				args[i].Value = nil
			}
		}
		ownKeys(args[:q.args])
		args = args[q.args:]
	}
	for i, extra := range w.extras {
		if extra != part.Extra { // that of a command with more parts is its own already
			w.extras[i] = extra.Clone()
		}
	}
	p.batch = engine.Batch{}
	p.reset()
	p.waitFor(w, next, part)
	p.resubmit(w)
}

func ownKeys(args []codec.Arg) {
	for i := range args {
		args[i].Key = bytes.Clone(args[i].Key)
	}
}

func (p *pipeline) resubmit(w *waiting) {
	w.applied = false
	p.commit.submit(&w.batch, func() {
		p.execute(func() {
			w.applied = true
			w.goOn()
		})
	})
}

// submitClear has a command about the whole store wait.
func (p *pipeline) submitClear(w *waiting, next int) {
	p.waitFor(w, next, codec.Command{})
	var b *engine.Batch
	if w.store.Effect() == codec.EffectClearSet {
		b = &w.batch
	}
	p.commit.submitClear(b, func(keys int) {
		p.execute(func() {
			w.applied, w.keys = true, keys
			w.goOn()
		})
	})
}

// submitSave has a snapshot made, for which the connection waits.
func (p *pipeline) submitSave(cmd codec.Command, next int) {
	w := &waiting{isJoined: p.isJoined, store: cmd.Op, extra: cmd.Extra.Clone()}
	p.waitFor(w, next, codec.Command{})
	p.save(func(saved codec.Object, err error) {
		p.execute(func() {
			w.applied, w.saved, w.err = true, saved, err
			w.goOn()
		})
	})
}

func (p *pipeline) waitFor(w *waiting, next int, part codec.Command) {
	p.waits, p.resumeAt, p.resume = w, next, part
	if !part.More {
		p.check = nil // w has all of the command
	}
}

// answerWaiting appends the answers of what has been applied of w, and returns whether
// that is all. What is left, since the values read have used up the turn's output, it
// submits once more.
func (p *pipeline) answerWaiting(f framing, w *waiting) (done bool) {
	p.framing, p.isJoined = f, w.isJoined
	defer func() { p.isJoined = false }()
	if w.proof != nil {
		p.proved(*w.proof, w.login, w.err)
		return true
	}
	if h, ok := f.(*httpFraming); ok {
		h.date = p.httpDate()
		if h.body != nil {
			h.body.mark = len(p.out)
			defer p.sealBody(h)
		}
	}
	words, isRESP := f.(*respFraming)
	if w.store != 0 && isRESP {
		p.answerStored(words, w)
		return true
	}
	if w.store != 0 {
		p.countStoreCommand(w.store)
		switch w.store.Effect() {
		case codec.EffectClearSet:
			p.answerPairs(w.store, w.extra, w.keys, w.args, w.batch.Ops)
		case codec.EffectSave:
			p.answerSave(w.store, w.extra, w.saved, w.err)
		case codec.EffectAuth:
			p.answerAuth(w.store, w.extra, w.login, w.err)
		default:
			p.answerCount(w.store, w.extra, w.keys)
		}
		return true
	}
	own := p.admitted
	p.admitted = w.admitted
	if isRESP {
		done = p.answerReplies(words)
	} else {
		done = p.answerBatch()
	}
	w.admitted, p.admitted = p.admitted, own
	if !done {
		if isRESP {
			w.dropReplied(p.stoppedAt)
		} else {
			w.dropAnswered(p.stoppedAt)
		}
		p.resubmit(w)
	}
	return done
}

// dropAnswered forgets what has been answered before a stop.
func (w *waiting) dropAnswered(at stop) {
	answered := 0
	for _, q := range w.queue[:at.command] {
		answered += int(q.args)
		if q.refused {
			w.refusals = w.refusals[1:]
		}
		if q.other&hasExtra != 0 {
			w.extras = w.extras[1:]
		}
	}
	w.queue = w.queue[at.command:]
	w.queue[0].args -= int32(at.arg)
	w.queue[0].resumed = true
	w.args = w.args[answered+at.arg:]
	w.answered = w.batch.Executed()
}

// uncommitted is what a connection waits for.
type uncommitted struct {
	waits *waiting // nil: nothing
	held  bool     // answers must not leave yet
	out   []byte   // those answers

	// position is the last of what the connection was answered, or has read for an answer
	// that several turns make.
	position uint64
}

// exists reports whether there is anything that the client has to be answered with yet.
func (u *uncommitted) exists() bool { return u != nil && (u.held || u.waits != nil) }

// stalls reports whether the connection gets no turn.
func (u *uncommitted) stalls() bool { return u.held || u.waits != nil && !u.waits.applied }

// forget gives up what the client was to be answered with yet.
func (u *uncommitted) forget() {
	if u != nil {
		u.waits, u.held, u.out = nil, false, nil
	}
}

// held is a connection whose answers wait for a position.
type held struct {
	conn     *conn
	position uint64
}

// hold keeps out back if the connection's answers have to wait, and reports whether it
// does. With an error there is no memory for that. Without answers, as after SETQ, the connection
// goes on as long as the committer isn't full: then it waits for its turn's position too.
func (l *loop) hold(c *conn, out []byte) (bool, error) {
	u := c.commit
	if !u.held {
		u.position = max(u.position, l.commit.position())
		if u.position <= l.released || len(out) == 0 && !l.commit.isFull() {
			return false, nil
		}
		u.held = true
		l.wait(held{c, u.position})
		if spare := l.takeSpare(); spare != nil && l.reserve(c, usage{output: cap(spare)}) {
			u.out = spare
		}
	}
	if need := len(u.out) + len(out); need > cap(u.out) {
		size := max(need, cap(u.out)+cap(u.out)/4)
		if !l.reserve(c, usage{output: size - cap(u.out)}) {
			return true, errBuffersFull
		}
		u.out = append(make([]byte, 0, size), u.out...)
	}
	u.out = append(u.out, out...)
	return true, nil
}

// wait has a connection wait for its position. Most are the last; a read of what an earlier
// group has, which is not safe yet, goes before those that wait for the group that gathers.
func (l *loop) wait(h held) {
	at := len(l.holding)
	if at > 0 && l.holding[at-1].position > h.position {
		at = sort.Search(at, func(i int) bool { return l.holding[i].position > h.position })
	}
	l.holding = slices.Insert(l.holding, at, h)
}

// The memory of answers that were held is kept for the next ones, or it would be garbage at
// each turn: 87 MB a second of it, with 100 keys a command and 4 commands a turn, kept the
// garbage collector busy for a fifth of all time. A loop keeps as much as some 60 connections
// of that kind hold at once; whatever is longer held large values.
const (
	maxSpare      = 256
	maxSpareBytes = 64 << 10 // of one connection's answers
	allSpareBytes = 1 << 20
)

func (l *loop) keepSpare(out []byte) {
	n := cap(out)
	if n > 0 && n <= maxSpareBytes && l.spareBytes+n <= allSpareBytes && len(l.spare) < maxSpare {
		l.spare = append(l.spare, out[:0])
		l.spareBytes += n
	}
}

// takeSpare returns memory that was kept, or nil.
func (l *loop) takeSpare() []byte {
	n := len(l.spare)
	if n == 0 {
		return nil
	}
	out := l.spare[n-1]
	l.spare[n-1] = nil
	l.spare = l.spare[:n-1]
	l.spareBytes -= cap(out)
	return out
}

// release sends what waits for positions up to upTo, in order. With an error none of it
// may leave: those connections end.
func (l *loop) release(upTo uint64, err error) {
	if err == nil {
		l.released = max(l.released, upTo)
	}
	for len(l.holding) > 0 && l.holding[0].position <= upTo {
		c := l.holding[0].conn
		l.holding[0] = held{}
		l.holding = l.holding[1:]
		if c.phase == phaseClosed || !c.commit.held {
			continue
		}
		out := c.commit.out
		c.commit.held, c.commit.out = false, nil
		if c.squeezed { // it could not get on until now
			c.squeezedAt = l.srv.now().UnixNano()
		}
		if err != nil {
			l.drop(c)
			continue
		}
		if err := l.transmit(c, out); err != nil {
			l.fail(c, err)
			continue
		}
		l.keepSpare(out)
		l.account(c)
		l.pauseIfBehind(c)
		if c.needsTurn() || l.srv.draining.Load() {
			l.serve(c, nil)
		}
	}
}
