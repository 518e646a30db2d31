package netio

import (
	"strconv"

	"keyframe/codec"
	"keyframe/codec/resp"
	"keyframe/engine"
)

// This file is SCAN, KEYS and RANDOMKEY: walks through the store, in steps, which a turn's
// share ends like any other work.

const (
	// maxPattern bounds a pattern: it takes its length times a key's to match.
	maxPattern = 256

	// maxScanCount bounds what one SCAN looks at. Redis has no bound.
	maxScanCount = 10_000

	// defaultScanCount is Redis's.
	defaultScanCount = 10

	// matchShift is what a step of a match costs, as a part of a nanosecond: not yet measured.
	matchShift = 0
)

// respScan is a walk that is being made.
type respScan struct {
	cursor  engine.Cursor
	pattern []byte // nil: all keys
	look    int    // how many more keys it looks at; of KEYS no bound
	first   bool   // the first key that is found ends it
	rest    bool   // RANDOMKEY: it has begun somewhere, and goes on at the beginning
	none    bool   // it finds nothing: another type is asked for
	keys    int
	found   []byte // the keys, as bulk strings
	done    bool
}

// list is SCAN, KEYS and RANDOMKEY.
func (p *pipeline) list(w *words, state any) bool {
	s, ok := state.(*respScan)
	if !ok {
		if s = p.newScan(w); s == nil {
			return true
		}
	}
	p.time()
	for !s.done && s.look > 0 && !(s.first && s.keys > 0) {
		if len(s.found) > p.service.opts.MaxOutputBytes/2 {
			p.failAlone(w, ErrorOutOfMemory, "ERR too many keys for one answer: use SCAN")
			return true
		}
		p.step(s)
		if p.cost.mustLook(); p.cost.isOver(len(p.out)) {
			s.pattern = append([]byte(nil), s.pattern...)
			p.resume, p.resumeAt = codec.Command{Op: w.cmd.Op, Extra: &codec.Extra{State: s}}, w.at
			return false
		}
	}
	switch {
	case w.cmd.ID == resp.RandomKey && s.keys == 0:
		p.answerAlone(w, resp.AppendNull(p.out, w.f.version))
		return true
	case w.cmd.ID == resp.RandomKey:
		p.answerAlone(w, append(p.out, s.found...))
		return true
	}
	out := p.out
	if w.cmd.ID == resp.Scan {
		cursor := uint64(0)
		if !s.done {
			cursor = p.cursorNumber(s.cursor)
		}
		out = resp.AppendText(resp.AppendArray(out, 2), strconv.FormatUint(cursor, 10))
	}
	p.answerAlone(w, append(resp.AppendArray(out, s.keys), s.found...))
	return true
}

// step looks at some keys.
func (p *pipeline) step(s *respScan) {
	seen, matched := 0, 0
	most := min(p.shares.scanKeys, s.look)
	prefix := resp.Prefix(s.pattern)
	if s.first {
		most = 1
	}
	s.cursor, s.done = p.store.ScanKeys(s.cursor, prefix, most, p.batch.Now, func(key []byte) bool {
		seen++
		if s.pattern != nil {
			matched += len(s.pattern) * len(key)
			if !resp.Match(s.pattern, key) {
				return matched < scanBytes
			}
		}
		if !s.none && !(s.first && s.keys > 0) {
			s.keys++
			s.found = resp.AppendBulk(s.found, key)
		}
		return matched < scanBytes
	})
	if s.done && s.rest {
		s.done, s.rest, s.cursor = false, false, 0
	}
	s.look -= max(1, seen)
	p.cost.spent += costScanned*(seen+1) + matched>>matchShift
}

// newScan is what a command asks for; nil if it has been answered with an error.
func (p *pipeline) newScan(w *words) *respScan {
	s := &respScan{look: 1 << 62}
	switch w.cmd.ID {
	case resp.Keys:
		s.pattern = w.args[1]
	case resp.RandomKey:
		s.first, s.rest, s.cursor = true, true, p.store.CursorAt(p.service.random())
	default:
		if text := p.scanOptions(s, w.args[1:]); text != "" {
			p.failAlone(w, ErrorArgumentType, text)
			return nil
		}
	}
	if len(s.pattern) > maxPattern {
		p.failAlone(w, ErrorArgumentType, "ERR a pattern has at most "+strconv.Itoa(maxPattern)+" bytes")
		return nil
	}
	if string(s.pattern) == "*" {
		s.pattern = nil
	}
	return s
}

// scanOptions takes those of SCAN, and returns what is wrong with them.
func (p *pipeline) scanOptions(s *respScan, args [][]byte) (wrong string) {
	number, err := strconv.ParseUint(string(args[0][:min(len(args[0]), 32)]), 10, 64)
	var ok bool
	if s.cursor, ok = p.cursorOf(number); !ok || err != nil {
		return "ERR invalid cursor"
	}
	s.look = defaultScanCount
	for args = args[1:]; len(args) > 0; args = args[2:] {
		switch {
		case len(args) == 1:
			return errSyntax
		case resp.Is(args[0], "match"):
			s.pattern = args[1]
		case resp.Is(args[0], "count"):
			n, ok := parseWord(args[1])
			switch {
			case !ok:
				return errNotInteger
			case n < 1:
				return errSyntax
			}
			s.look = int(min(n, maxScanCount))
		case resp.Is(args[0], "type"):
			s.none = !resp.Is(args[1], "string")
		default:
			return errSyntax
		}
	}
	return ""
}
