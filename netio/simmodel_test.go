package netio

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"keyframe/codec"
	"keyframe/engine"
)

// This file is the simulation's model: a plain map, and the answers that follow from it.

// compareStores compares the whole content of the store with the model's.
func (s *sim) compareStores() {
	seen, kept := make(map[string]string, len(s.model)), make(map[string]string, len(s.model))
	s.engine.Range(func(key, value []byte) bool {
		seen[string(key)] = string(value)
		return true
	})
	for key, text := range s.model {
		kept[key] = asKept(text)
	}
	if !maps.Equal(seen, kept) {
		s.fatalf("the store has %d keys, the model %d, or other values", len(seen), len(s.model))
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
}

// executed compares what the store did with what the model does, and records the answer.
func (s *sim) executed(op *engine.Op) {
	c, e := s.next()
	if e.kind != op.Kind || e.key.key != string(op.Key) || e.kind != engine.Get && e.value != textOf(op.Value, op.Form) {
		s.fatalf("client %d: kind %d of %q, %.100q is executed, want %s of %q, %.100q", c.id, op.Kind, op.Key, op.Value, e.name, e.key.key, e.value)
	}
	key := e.key.key
	old, ok := s.model[key]
	st := "3" // no such key
	switch e.kind {
	case engine.Set:
		st = "1"
		if ok {
			st = "2"
		}
	case engine.Add:
		st = "1"
		if ok {
			st = "4"
		}
	case engine.Get, engine.Contains:
		if ok {
			st = "4"
		}
	case engine.Remove:
		if ok {
			st = "5"
		}
	case engine.Rename:
		_, taken := s.model[e.value]
		switch {
		case ok && key != e.value && taken:
			st = "4"
		case ok:
			st = "1"
		}
	}
	if op.Status == engine.OutOfMemory {
		if !s.full && !s.refusing || e.kind == engine.Set && ok && !outgrows(e.value, old) || st != "1" && st != "2" {
			s.fatalf("client %d: kind %d of %q, %.100s for %.100s, is refused for want of memory", c.id, e.kind, key, e.value, old)
		}
		if s.full {
			s.reach("the store is full")
		}
		st = "14"
	}
	if simStatuses[op.Status] != st {
		s.fatalf("client %d: kind %d of %q has status %d, want st %s", c.id, e.kind, key, op.Status, st)
	}
	switch {
	case st == "14":
	case e.kind == engine.Set, e.kind == engine.Add && !ok:
		s.model[key] = e.value
	case e.kind == engine.Remove:
		delete(s.model, key)
	case e.kind == engine.Rename && st == "1" && key != e.value:
		delete(s.model, key)
		s.model[e.value] = old
	case e.kind == engine.Get && ok && textOf(op.Value, op.Form) != old:
		s.fatalf("client %d: GET of %q reads %.100q, want %.100q", c.id, key, op.Value, old)
	}
	s.answer(c, e, st, old, ok)
	c.done(1)
}

// answer records the answer to an element that the store has executed.
func (s *sim) answer(c *simClient, e *simElement, st, old string, ok bool) {
	switch {
	case strings.HasSuffix(e.name, "Q") && (st == "1" || st == "2"):
	case e.kind == engine.Get && ok:
		c.answered(`{"GET_RSP":{"st":0,"`, `}}`, e.key.text, `":`, old)
	case e.kind == engine.Rename:
		c.answered(`{"RNM_KEY_RSP":{"`, `}}`, e.key.text, `":"`, e.to.text, `","st":`, st)
	default:
		c.answered(`{"`, `"}}`, e.name, `_RSP":{"st":`, st, `,"k":"`, e.key.text)
	}
}

// executedWhole is executed for COUNT, CLEAR and SERVER_INFO, for which the store had n
// keys.
func (s *sim) executedWhole(n int, clears bool) {
	c, e := s.next()
	if !e.whole || clears != (e.name == "CLEAR") {
		s.fatalf("client %d: a command about the whole store is executed, want %q", c.id, e.name)
	}
	if n != len(s.model) {
		s.fatalf("client %d: %s has %d keys, want %d", c.id, e.name, n, len(s.model))
	}
	if e.name == "SERVER_INFO" {
		c.want = append(c.want, simWant{info: true, keys: n})
	} else {
		c.answered(`{"`, `}}`, e.name, `_RSP":{"st":0,"cnt":`, fmt.Sprint(n))
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
