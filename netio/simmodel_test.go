package netio

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"keyframe/codec"
	"keyframe/engine"
)

// This file is the simulation's model: a plain map, and the answers that follow from it.

// simValue is the text of a value, and its key's deadline in milliseconds, 0 for none.
type simValue struct {
	text     string
	deadline int64
}

func (v simValue) isDead(now int64) bool { return v.deadline != 0 && v.deadline <= now }

// compareStores compares the whole content of the store, of what is alive, with the model's.
func (s *sim) compareStores() {
	now := s.now.UnixMilli()
	seen, kept := make(map[string]simValue, len(s.model)), make(map[string]simValue, len(s.model))
	s.engine.Each(func(key, value []byte, _ engine.Form, deadline int64) bool {
		if v := (simValue{string(value), deadline}); !v.isDead(now) {
			seen[string(key)] = v
		}
		return true
	})
	for key, v := range s.model {
		if !v.isDead(now) {
			kept[key] = simValue{asKept(v.text), v.deadline}
		}
	}
	if !maps.Equal(seen, kept) {
		s.fatalf("the store has %d keys, the model %d, or other values", len(seen), len(kept))
	}
}

// asKept is how the store keeps a value: a string without escapes has no quotes.
func asKept(text string) string {
	if text[0] == '"' && !strings.Contains(text, `\`) {
		return text[1 : len(text)-1]
	}
	return text
}

// outgrows reports whether a value takes more room than the one that it replaces.
func outgrows(text, old string) bool { return len(asKept(text)) > len(asKept(old)) }

// textOf is the text of a value in the store.
func textOf(value []byte, form engine.Form) string {
	if form == engine.Form(codec.FormString) {
		return `"` + string(value) + `"`
	}
	return string(value)
}

// next is the element that the connection being served has executed.
func (s *sim) next() (*simClient, *simElement) {
	c := s.serving
	if c == nil {
		s.fatalf("something is executed in nobody's turn")
	}
	e := c.due()
	switch {
	case e == nil:
		s.fatalf("client %d: something is executed that it hasn't sent", c.id)
	case e.end > c.delivered:
		s.fatalf("client %d: %s is executed before it has come whole", c.id, e.name)
	case e.end > c.limit:
		s.fatalf("client %d: %s is executed, which came after the stop", c.id, e.name)
	}
	return c, e
}

// simStatuses are the wire's numbers of the store's outcomes.
var simStatuses = map[engine.Status]string{
	engine.Created: "1", engine.Renamed: "1", engine.Updated: "2", engine.NotFound: "3",
	engine.Exists: "4", engine.Found: "4", engine.Removed: "5", engine.OutOfMemory: "14",
	engine.NotInteger: "9", engine.Differs: "8", engine.Refused: "7",
}

// executed compares what the store did with what the model does, and records the answer.
func (s *sim) executed(b *engine.Batch, i int) {
	c, e := s.next()
	op, args := &b.Ops[i], b.Args(i)
	if args == nil {
		args = &engine.Args{}
	}
	if e.key == nil {
		s.fatalf("client %d: kind %d of %q is executed, want %s, %+v", c.id, op.Kind, op.Key, e.name, e.walk)
	}
	s.asExpected(c, e, b, op, args)
	key := e.key.key
	old, ok := s.find(key, b.Now, op.Status != engine.NotFound && op.Status != engine.Created)
	st, value := s.outcome(e, old, ok, b.Now, op.Status)
	if op.Status == engine.OutOfMemory {
		inPlace := e.kind == engine.Set && ok && e.ttl == 0 && !outgrows(e.value, old.text)
		if !s.full && !s.refusing || inPlace || st != "1" && st != "2" {
			s.fatalf("client %d: kind %d of %q, %.100s for %.100s, is refused for want of memory", c.id, e.kind, key, e.value, old.text)
		}
		if s.full {
			s.reach("the store is full")
		}
		st = "14"
	}
	if simStatuses[op.Status] != st {
		s.fatalf("client %d: %s of %q has status %d, want st %s; it was %.100q until %d, now is %d", c.id, e.name, key, op.Status, st, old.text, old.deadline, b.Now)
	}
	switch {
	case st == "14":
	case e.kind == engine.Rename:
		if st == "1" && key != e.value {
			s.disk.note(key, e.value)
			delete(s.model, key)
			s.model[e.value] = old
			s.changed(e.value, true)
		}
	case st == "5":
		s.disk.note(key)
		delete(s.model, key)
	case st == "1", st == "2":
		s.disk.note(key)
		s.model[key] = value
		s.changed(key, st == "1")
	}
	reads := e.kind == engine.Get && ok || e.kind == engine.Take && ok || e.kind == engine.Swap && st == "2"
	if reads && textOf(op.Value, op.Form) != old.text {
		s.fatalf("client %d: %s of %q reads %.100q, want %.100q", c.id, e.name, key, op.Value, old.text)
	}
	if e.kind == engine.Deadline && ok && args.Deadline != old.deadline {
		s.fatalf("client %d: the deadline of %q is %d, want %d", c.id, key, args.Deadline, old.deadline)
	}
	before := c.texts()
	s.answer(c, e, st, old, value, ok, b.Now)
	if s.disk != nil && c.texts() > before {
		c.owed = append(c.owed, simOwed{c.texts(), s.disk.seen(e)})
	}
	c.done(1)
}

// asExpected checks that an operation is what the client has sent.
func (s *sim) asExpected(c *simClient, e *simElement, b *engine.Batch, op *engine.Op, args *engine.Args) {
	deadline := int64(0)
	if e.ttl != 0 {
		deadline = b.Now + e.ttl
	}
	// A value that was read has taken the place of the one that was sent.
	value := op.Value
	switch e.kind {
	case engine.Get, engine.Take, engine.Incr:
		value = nil
	case engine.Swap:
		if op.Status == engine.Updated {
			value = []byte(asKept(e.value))
		}
	}
	form := op.Form
	if e.kind == engine.Swap && op.Status == engine.Updated && asKept(e.value) != e.value {
		form = engine.Form(codec.FormString)
	} else if e.kind == engine.Swap && op.Status == engine.Updated {
		form = engine.Form(codec.FormJSON)
	}
	ok := e.kind == op.Kind && e.key.key == string(op.Key) && args.Delta == e.delta || e.kind == engine.Merge && op.Kind == engine.Merge
	if value != nil || e.value != "" {
		ok = ok && e.value == textOf(value, form)
	}
	if e.kind != engine.Deadline {
		ok = ok && args.Deadline == deadline
	}
	if e.expected != "" {
		ok = ok && e.expected == textOf(args.Expected, args.ExpectedForm)
	}
	if !ok {
		s.fatalf("client %d: kind %d of %q, %.100q, %+v at %d is executed, want %s of %q, %+v", c.id, op.Kind, op.Key, op.Value, args, b.Now, e.name, e.key.key, e)
	}
}

// find returns what the model has for a key at a time. A batch that was held back may ask
// for what has died meanwhile, and what the sweeper may have dropped or not: then it is as
// the store says.
func (s *sim) find(key string, now int64, says bool) (simValue, bool) {
	v, ok := s.model[key]
	switch {
	case !ok:
		return simValue{}, false
	case v.isDead(now):
		s.reach("a key that is dead")
	case v.isDead(s.now.UnixMilli()):
		s.reach("a key that the sweeper may have dropped")
		if says {
			return v, true
		}
	default:
		return v, true
	}
	delete(s.model, key)
	return simValue{}, false
}

// outcome is what an operation on a key with that value comes to: its status, and what the
// key has then, if it is changed.
func (s *sim) outcome(e *simElement, old simValue, ok bool, now int64, says engine.Status) (st string, value simValue) {
	value = simValue{e.value, 0}
	if e.ttl != 0 {
		value.deadline = now + e.ttl
	}
	created := "1"
	if ok {
		created = "2"
	}
	switch e.kind {
	case engine.Set, engine.Swap:
		return created, value
	case engine.Add:
		if ok {
			return "4", value
		}
		return "1", value
	case engine.Incr:
		sum, is := int64(0), true
		if ok {
			n, err := strconv.ParseInt(old.text, 10, 64)
			sum, is = n, err == nil
		}
		if is && (sum+e.delta > sum) != (e.delta > 0) {
			s.reach("an integer that overflows")
			is = false
		}
		if !is {
			return "9", old
		}
		return created, simValue{strconv.FormatInt(sum+e.delta, 10), old.deadline}
	case engine.Merge:
		if e.updates() {
			break
		}
		if !ok {
			return "1", simValue{text: e.value}
		}
		text, ok := appendedJSON(old.text, e.value)
		if !ok {
			return "7", old
		}
		s.reach("a text that is extended")
		return "2", simValue{text, old.deadline}
	}
	if !ok {
		return "3", value
	}
	switch e.kind {
	case engine.Remove, engine.Take:
		return "5", value
	case engine.Merge:
		text, ok := updatedJSON(old.text, e.value)
		if !ok {
			s.reach("a place that can't be set")
			return "7", old
		}
		s.reach("places that are set")
		return "2", simValue{text, old.deadline}
	case engine.Expire:
		return "2", simValue{old.text, value.deadline}
	case engine.CompareSet, engine.CompareRemove:
		if old.text != e.expected {
			return "8", old
		}
		s.reach("a comparison that succeeds")
		if e.kind == engine.CompareRemove {
			return "5", value
		}
		return "2", simValue{e.value, old.deadline}
	case engine.Rename:
		if e.key.key != e.value {
			if _, taken := s.find(e.value, now, says == engine.Exists); taken {
				return "4", value
			}
		}
		return "1", value
	}
	return "4", value // Get, Contains, Deadline
}

// answer records the answer to an element that the store has executed.
func (s *sim) answer(c *simClient, e *simElement, st string, old, value simValue, ok bool, now int64) {
	switch {
	case e.http:
		c.answeredHTTP(e, st, old)
	case strings.HasSuffix(e.name, "Q") && (st == "1" || st == "2" || st == "5"):
	case e.kind == engine.Get && ok:
		c.answered(`{"GET_RSP":{"st":0,"`, `}}`, e.key.text, `":`, old.text)
	case e.kind == engine.Deadline && ok:
		left := "null"
		if old.deadline != 0 {
			left = strconv.FormatInt(old.deadline-now, 10)
		}
		c.answered(`{"TTL_RSP":{"st":0,"`, `}}`, e.key.text, `":`, left)
	case e.kind == engine.Take && ok, e.kind == engine.Swap && st == "2":
		c.answered(`{"`, `}}`, e.name, `_RSP":{"st":`, st, `,"`, e.key.text, `":`, old.text)
	case e.kind == engine.Incr && (st == "1" || st == "2"):
		c.answered(`{"`, `}}`, e.name, `_RSP":{"st":`, st, `,"`, e.key.text, `":`, value.text)
	case e.kind == engine.Rename:
		c.answered(`{"RNM_KEY_RSP":{"`, `}}`, e.key.text, `":"`, e.to.text, `","st":`, st)
	case st == "7" && e.updates():
		c.answered(`{"`, `}}`, e.name, `_RSP":{"st":7,"k":"`, e.key.text, `","m":"`, noPlaceText, `"`)
	case st == "7":
		c.answered(`{"`, `}}`, e.name, `_RSP":{"st":7,"k":"`, e.key.text, `","m":"`, unlikeText, `"`)
	default:
		c.answered(`{"`, `"}}`, e.name, `_RSP":{"st":`, st, `,"k":"`, e.key.text)
	}
}

// updates reports whether it is an element of an UPDATE.
func (e *simElement) updates() bool { return strings.HasPrefix(e.name, "UPDATE") }

// What an answer with st 7 says of an element whose value is of the wrong type, of an APPEND
// to a value of another, and of an UPDATE of a place that can't be set.
const (
	mistypedText = "null, objects and arrays are values only with --values any"
	unlikeText   = "strings are appended to strings, and with --values any arrays to arrays and objects to objects; the result has at most 16 MiB"
	noPlaceText  = "places in an object or array are set, by JSON Pointers whose parents exist; the result has at most 16 MiB, and the length of the value times the places is at most 32 MiB"
)

// executedWhole is executed for COUNT, CLEAR, CLEAR_SET and SERVER_INFO, for which the store
// had n keys, of which some may be dead.
func (s *sim) executedWhole(n int, clears bool) {
	c, e := s.next()
	if !e.whole || clears != strings.HasPrefix(e.name, "CLEAR") {
		s.fatalf("client %d: a command about the whole store is executed, want %q", c.id, e.name)
	}
	alive := 0
	for _, v := range s.model {
		if !v.isDead(s.now.UnixMilli()) {
			alive++
		}
	}
	if n < alive || n > len(s.model) {
		s.fatalf("client %d: %s has %d keys, want %d, or up to %d", c.id, e.name, n, alive, len(s.model))
	}
	if clears && s.disk != nil {
		s.disk.note(slices.Collect(maps.Keys(s.model))...)
		s.disk.lastClear = len(s.disk.notes)
	}
	if e.name == "SERVER_INFO" {
		c.want = append(c.want, simWant{info: true, keys: n})
	} else {
		c.answered(`{"`, `}}`, e.name, `_RSP":{"st":0,"cnt":`, fmt.Sprint(n))
		if s.disk != nil {
			c.owed = append(c.owed, simOwed{c.texts(), len(s.disk.notes)})
		}
	}
	if clears {
		clear(s.model)
		if s.compacting {
			s.reach("CLEAR in the middle of a compaction")
		}
	}
	c.done(1)
}

// TestModelOutgrows: a full store may refuse what outgrows the value in its place, and that
// is a matter of how both are kept: a number of 19 digits outgrows a string of 17 letters,
// though both are 19 bytes of JSON.
func TestModelOutgrows(t *testing.T) {
	const number, letters = "8859596124585529298", `"sssssssssssssssss"`
	for _, tt := range []struct {
		text, old string
		want      bool
	}{
		{number, letters, true}, {letters, number, false}, {letters, letters, false}, {number, number, false},
		{`"\\n` + letters[1:], letters, true}, {letters, `"\\n` + letters[1:], false},
		{`"1234"`, "1234", false}, {"1234", `"1234"`, false}, {"12345", `"1234"`, true},
	} {
		if got := outgrows(tt.text, tt.old); got != tt.want {
			t.Errorf("%s for %s: %v", tt.text, tt.old, got)
		}
		// The store itself, when it may have no further memory.
		full := false
		e, err := engine.New(engine.Options{Shards: 1, Simulation: &engine.Simulation{Refuse: func() bool { return full }}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		set := func(key, text string) engine.Status {
			form := engine.Form(0)
			if kept := asKept(text); kept != text {
				text, form = kept, engine.Form(codec.FormString)
			}
			b := engine.Batch{Ops: []engine.Op{{Kind: engine.Set, Key: []byte(key), Value: []byte(text), Form: form}}}
			e.Apply(&b)
			return b.Ops[0].Status
		}
		set("the_key", tt.old)
		full = true
		for i := 0; set(fmt.Sprintf("other%03d", i), tt.text) != engine.OutOfMemory; i++ {
		}
		if st := set("the_key", tt.text); st == engine.OutOfMemory && !tt.want {
			t.Errorf("%s for %s is refused", tt.text, tt.old)
		}
	}
}
