package netio

import (
	"sync"

	"keyframe/codec"
	"keyframe/engine"
)

// This file is the road of KEYS and FIND: a walk through the store, in steps. A turn's share
// ends it like any other work, and the next turn goes on with what has been found so far.

const (
	// scanKeys is how many keys a step looks at: 256 take 10 to 50 µs, after which the
	// clock is looked at. Not yet measured against others.
	scanKeys = 256

	// scanBytes is how many bytes of values a step looks at; the value with which it has
	// looked at so many is its last. It is what the engine copies at one moment, too.
	scanBytes = 64 << 10

	// A key costs costScanned to walk past. Not yet measured.
	costScanned = 60
)

// scan is a page that is being made.
type scan struct {
	cursor engine.Cursor
	page   []byte // the answer so far
	keys   int    // in it
	query  *codec.Query
}

// pages are scans that are done, whose memory the next ones take: to allocate a mebibyte for each
// page took a quarter of the time. maxKeptPage is what most pages need, as append makes room.
var pages = sync.Pool{New: func() any { return new(scan) }}

const maxKeptPage = 2 * turnOutputBytes

// begun is the scan that the turn before has begun, nil if there is none.
func (p *pipeline) begun() (s *scan) {
	if p.resume.Extra != nil {
		s, _ = p.resume.Extra.State.(*scan)
	}
	p.resume = codec.Command{}
	return s
}

// answerScan answers a KEYS or FIND. It returns false if the turn is over before that.
func (p *pipeline) answerScan(at int, cmd codec.Command) bool {
	q := cmd.Extra.Query
	s := p.begun()
	if s == nil {
		var cursor engine.Cursor
		if q.Cursor != nil {
			var ok bool
			if cursor, ok = p.parseCursor(q.Cursor); !ok {
				p.countCommand()
				p.count.Errors[ErrorArgumentType]++
				p.text = codec.AppendError(p.text[:0], &codec.Refusal{Code: codec.RefusedArgument, Op: cmd.Op, Text: "takes the cursor of an earlier page", ID: string(cmd.Extra.ID)})
				p.out = p.appendText(p.out)
				return true
			}
		}
		s = pages.Get().(*scan)
		*s = scan{cursor: cursor, page: codec.AppendPageOpen(s.page[:0], cmd.Op, q.Values), query: q}
	}
	q = s.query
	done := false
	isWhole := func() bool { return done || s.keys >= q.Limit || len(s.page) >= p.shares.turnOutputBytes }
	for !isWhole() {
		seen, looked, before := 0, 0, len(s.page)
		add := func(key, value []byte, form engine.Form, _ int64) bool {
			seen++
			looked += len(value)
			goOn := looked < scanBytes
			if !codec.IsKey(key, p.minKey) || value != nil && !q.Matches(value, codec.Form(form)) {
				return goOn
			}
			s.keys++
			switch {
			case !q.Values:
				s.page = codec.AppendPageKey(s.page, key)
			case codec.IsText(value, codec.Form(form)):
				s.page = codec.AppendPagePair(s.page, key, value, codec.Form(form))
			default:
				s.page = codec.AppendPagePair(s.page, key, []byte("null"), codec.FormJSON)
			}
			return goOn && s.keys < q.Limit && len(s.page) < p.shares.turnOutputBytes
		}
		if most := min(p.shares.scanKeys, q.Limit-s.keys); q.Values || cmd.Op.Shape() == codec.ShapeSearch {
			s.cursor, done = p.store.Scan(s.cursor, q.Prefix, most, p.batch.Now, add)
		} else {
			s.cursor, done = p.store.ScanKeys(s.cursor, q.Prefix, most, p.batch.Now, func(key []byte) bool { return add(key, nil, 0, 0) })
		}
		p.cost.spent += costScanned * (seen + 1)
		p.cost.bytes(looked + len(s.page) - before)
		if p.cost.mustLook(); !isWhole() && p.cost.isOver(len(p.out)) {
			if s.query == cmd.Extra.Query { // which refers to the payload
				s.query = q.Clone()
			}
			p.resume, p.resumeAt = codec.Command{Op: cmd.Op, Extra: &codec.Extra{State: s}}, at
			return false
		}
	}
	var cursor []byte
	if !done {
		cursor = p.appendCursor(nil, s.cursor)
	}
	p.countStoreCommand(cmd.Op)
	s.page = withID(codec.AppendPageClose(s.page, q.Values, cursor), cmd.Extra)
	p.out = p.framing.appendText(p.out, s.page)
	if s.query = nil; cap(s.page) <= maxKeptPage {
		pages.Put(s)
	}
	return true
}
