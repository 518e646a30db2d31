package netio

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"keyframe/codec"
	"keyframe/engine"
)

// This file is the simulation's walks through the store, by KEYS and FIND, page by page. What a
// page has must be what the model has at that moment; and all pages together have each key
// once that was there from the first to the last, whatever has happened between.

// simLife says which of a key's lives it is in, and when its value was last changed, in the
// order of all changes.
type simLife struct{ born, changed int }

// simWalk is a walk. Any client may go on with it.
type simWalk struct {
	name      string // of the command
	prefix    string
	condition *simCondition // of a FIND

	client  *simClient // who waits for a page
	limit   int
	values  bool
	cursor  engine.Cursor
	hasPage bool // cursor is one
	page    []byte
	keys    int // in it

	begun bool
	start map[string]simLife // the keys that were there, and matched
	seen  map[string]int     // in which of their lives keys were given
}

// changed notes that a key's value has changed, or that the key has begun to exist.
func (s *sim) changed(key string, isNew bool) {
	s.changes++
	life := s.lives[key]
	if life.changed = s.changes; isNew {
		life.born = s.changes
	}
	s.lives[key] = life
}

// ask sends a KEYS or FIND, of a walk that goes on or of a new one.
func (c *simClient) ask() {
	s, r := c.s, c.s.rng
	s.walks = slices.DeleteFunc(s.walks, func(w *simWalk) bool { return w.client != nil && !slices.Contains(s.clients, w.client) })
	var w *simWalk
	if waiting := slices.DeleteFunc(slices.Clone(s.walks), func(w *simWalk) bool { return w.client != nil }); len(waiting) > 0 && r.IntN(8) > 0 {
		w = waiting[r.IntN(len(waiting))]
	} else if len(s.walks) < 5 {
		w = s.newWalk()
		s.walks = append(s.walks, w)
	} else {
		return
	}
	w.client, w.values, w.page, w.keys = c, r.IntN(3) == 0, nil, 0
	members := []string{}
	if w.limit = codec.DefaultLimit; r.IntN(4) > 0 {
		w.limit = 1 + r.IntN(1<<r.IntN(12))
		members = append(members, `"limit":`+strconv.Itoa(w.limit))
	}
	if w.prefix != "" || r.IntN(4) == 0 {
		text := string(codec.AppendString(nil, []byte(w.prefix)))
		if w.prefix != "" && w.prefix[0] < 0x80 && r.IntN(4) == 0 {
			text = `"\u00` + strconv.FormatInt(int64(w.prefix[0])|0x100, 16)[1:] + string(codec.AppendString(nil, []byte(w.prefix[1:]))[1:])
		}
		members = append(members, `"prefix":`+text)
	}
	if w.hasPage {
		members = append(members, `"cursor":"`+w.cursorText(s)+`"`)
	}
	if w.values || r.IntN(8) == 0 {
		members = append(members, `"values":`+strconv.FormatBool(w.values))
	}
	if f := w.condition; f != nil {
		members = append(members, `"`+f.operator+`":`+f.operand)
		if f.path != "" || r.IntN(4) == 0 {
			members = append(members, `"path":"`+f.path+`"`)
		}
	}
	r.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	c.expected = append(c.expected, simElement{name: w.name, walk: w})
	c.send([]byte(`{"`+w.name+`":{`+strings.Join(members, ",")+`}}`), len(c.expected)-1)
}

func (w *simWalk) cursorText(s *sim) string {
	return strconv.FormatUint(s.srv.cursorKey.seal(w.cursor, textCheck), cursorBase)
}

func (s *sim) newWalk() *simWalk {
	r := s.rng
	w := &simWalk{name: "KEYS", seen: make(map[string]int)}
	switch key := []rune(s.keys[r.IntN(len(s.keys))].key); r.IntN(6) {
	case 0, 1:
		w.prefix = string(key[:r.IntN(len(key)+1)])
	case 2:
		w.prefix = "nobody has this"
	}
	if r.IntN(2) == 0 {
		w.name, w.condition = "FIND", &simCondition{operator: pickText(r, simOperator), operand: s.values[r.IntN(30)]}
		if s.opts.AnyValues {
			w.condition.path = pickText(r, simPointers)
		}
		if s.opts.AnyValues || r.IntN(2) == 0 {
			w.condition.operand = pickText(r, simObjects, simArrays, simScalars)
		}
	}
	return w
}

func (st *simStore) Scan(cursor engine.Cursor, prefix []byte, limit int, now int64, fn func(key, value []byte, form engine.Form, deadline int64) bool) (engine.Cursor, bool) {
	w := st.s.steps(cursor, prefix, now)
	next, done := st.Engine.Scan(cursor, prefix, limit, now, func(key, value []byte, form engine.Form, deadline int64) bool {
		st.s.given(w, key, now, &simValue{textOf(value, form), deadline})
		return fn(key, value, form, deadline)
	})
	st.s.stepped(w, next, done)
	return next, done
}

func (st *simStore) ScanKeys(cursor engine.Cursor, prefix []byte, limit int, now int64, fn func(key []byte) bool) (engine.Cursor, bool) {
	w := st.s.steps(cursor, prefix, now)
	next, done := st.Engine.ScanKeys(cursor, prefix, limit, now, func(key []byte) bool {
		st.s.given(w, key, now, nil)
		return fn(key)
	})
	st.s.stepped(w, next, done)
	return next, done
}

// steps is the walk of which a step begins.
func (s *sim) steps(cursor engine.Cursor, prefix []byte, now int64) *simWalk {
	c := s.serving
	var e *simElement
	if c != nil {
		e = c.next()
	}
	if e == nil || e.walk == nil || e.walk.page == nil || len(e.walk.page) >= c.conn.loop.pipe.shares.turnOutputBytes {
		c, e = s.next() // it does not go on with a page
	}
	w := e.walk
	if w == nil || w.client != c || cursor != w.cursor || string(prefix) != w.prefix {
		s.fatalf("client %d: a walk from %x with the prefix %q, want %s, %+v", c.id, cursor, prefix, e.name, w)
	}
	if !w.begun {
		w.begun, w.start = true, make(map[string]simLife)
		for key, v := range s.model {
			if strings.HasPrefix(key, w.prefix) && !v.isDead(now) && (w.condition == nil || w.condition.matches(v.text)) {
				w.start[key] = s.lives[key]
			}
		}
	}
	if w.page == nil {
		brackets := "keys\":["
		if w.values {
			brackets = "pairs\":{"
		}
		w.page = []byte(`{"` + w.name + `_RSP":{"st":0,"` + brackets)
	} else {
		s.reach("a page that a turn goes on with, or a step")
	}
	return w
}

// given is a key that the store gives, with a value if it was asked for that.
func (s *sim) given(w *simWalk, key []byte, now int64, value *simValue) {
	k := string(key)
	v, ok := s.model[k]
	if !ok || v.isDead(now) || !strings.HasPrefix(k, w.prefix) || value != nil && *value != v {
		s.fatalf("client %d: a walk with the prefix %q gives %q with %+v at %d, it is %+v", w.client.id, w.prefix, k, value, now, v)
	}
	born := s.lives[k].born
	if was, ok := w.seen[k]; ok && was == born {
		s.fatalf("client %d: a walk gives %q twice", w.client.id, k)
	}
	w.seen[k] = born
	if w.condition != nil && !w.condition.matches(v.text) {
		return
	}
	if w.keys++; w.keys > 1 {
		w.page = append(w.page, ',')
	}
	w.page = codec.AppendString(w.page, key)
	if w.values {
		w.page = append(append(w.page, ':'), v.text...)
	}
}

// stepped ends a step of a walk, and with it perhaps the page.
func (s *sim) stepped(w *simWalk, next engine.Cursor, done bool) {
	w.cursor = next
	if done || w.keys >= w.limit || len(w.page) >= w.client.conn.loop.pipe.shares.turnOutputBytes {
		s.endPage(w, done)
	}
}

// isFull reports whether the page that an element asks for may be answered as it is: the less
// memory is left, the shorter pages are.
func (e *simElement) isFull(s *sim) bool {
	return e.walk != nil && e.walk.page != nil && len(e.walk.page) >= min(leastTurnOutput, s.srv.shares.turnOutputBytes)
}

// endPage records a page as the client's answer.
func (s *sim) endPage(w *simWalk, done bool) {
	c, tail := w.client, "]"
	if w.values {
		tail = "}"
	}
	if !done {
		tail += `,"cursor":"` + w.cursorText(s) + `"`
	}
	c.answered("", "}}", string(w.page), tail)
	if s.disk != nil {
		c.owed = append(c.owed, simOwed{c.texts(), len(s.disk.notes)})
	}
	c.done(1)
	if w.client, w.hasPage = nil, true; !done {
		return
	}
	s.walks = slices.DeleteFunc(s.walks, func(other *simWalk) bool { return other == w })
	for _, key := range slices.Sorted(maps.Keys(w.start)) {
		is, was := s.lives[key], w.start[key]
		v, ok := s.model[key]
		there := ok && !v.isDead(s.now.UnixMilli()) && is.born == was.born && (w.condition == nil || is.changed == was.changed)
		if born, seen := w.seen[key]; there && (!seen || born != is.born) {
			s.fatalf("client %d: %s with the prefix %q never had %q, which was there throughout", c.id, w.name, w.prefix, key)
		}
	}
	s.reach("a walk to its end")
}
