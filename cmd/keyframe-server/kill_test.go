package main_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

var kills = flag.Int("kills", 10, "how often TestKill kills a server")

// stored is what a key has.
type stored struct {
	value string        // as it was sent
	ttl   time.Duration // 0: no deadline
	sent  time.Time
}

// operation is an element of a command.
type operation struct {
	command string
	key, to string
	stored
}

// apply does it to a state, and reports whether it has an effect.
func (o *operation) apply(state map[string]stored) bool {
	is, exists := state[o.key]
	switch o.command {
	case "RMV":
		delete(state, o.key)
		return exists
	case "RNM_KEY":
		if _, taken := state[o.to]; !exists || taken && o.to != o.key {
			return false
		}
		delete(state, o.key)
		state[o.to] = is
		return true
	}
	state[o.key] = o.stored
	return true
}

// appendCommand appends the command of one operation, or of several SETs.
func appendCommand(dst *bytes.Buffer, ops []operation) {
	switch o := &ops[0]; o.command {
	case "RMV":
		fmt.Fprintf(dst, "{\"RMV\":[%q]}\n", o.key)
	case "RNM_KEY":
		fmt.Fprintf(dst, "{\"RNM_KEY\":[{%q:%q}]}\n", o.key, o.to)
	case "SETEX":
		fmt.Fprintf(dst, "{\"SETEX\":{\"ttl\":%d,\"pairs\":{%q:%s}}}\n", o.ttl.Milliseconds(), o.key, o.value)
	default:
		pairs := make([]string, len(ops))
		for i := range ops {
			pairs[i] = fmt.Sprintf("%q:%s", ops[i].key, ops[i].value)
		}
		fmt.Fprintf(dst, "{\"SET\":{%s}}\n", strings.Join(pairs, ","))
	}
}

// modelled is a client that has keys of its own, and knows what is stored under them.
type modelled struct {
	name    string
	n       int               // values made; no two are the same
	state   map[string]stored // after all that was answered
	pending []operation       // that were sent since

	mayRefuse bool // the server may answer 15: it has not done it
}

func newModelled(n int) []*modelled {
	clients := make([]*modelled, n)
	for i := range clients {
		clients[i] = &modelled{name: fmt.Sprintf("client-%d", i), state: map[string]stored{}}
	}
	return clients
}

const keysOfClient = 30

func (c *modelled) key(i int) string { return fmt.Sprintf("%s-key-%d", c.name, i) }

// draw returns the operations of a command.
func (c *modelled) draw(r *rand.Rand) []operation {
	draw := func(command string) operation {
		c.n++
		value := [...]string{`%d`, `%d.50`, `"string %d"`, `"string \u00fc %d"`, `{"n":%d,"of":[null,true]}`, `[%d]`}[r.IntN(6)]
		o := operation{command: command, key: c.key(r.IntN(keysOfClient)), to: c.key(r.IntN(keysOfClient))}
		o.value, o.sent = fmt.Sprintf(value, c.n), time.Now()
		return o
	}
	switch r.IntN(8) {
	case 0:
		return []operation{draw("RMV")}
	case 1, 2:
		return []operation{draw("RNM_KEY")}
	case 3, 4:
		o := draw("SETEX")
		o.ttl = time.Duration(60+10*c.n) * time.Minute // no two are near each other
		return []operation{o}
	}
	ops := []operation{draw("SET")}
	for range r.IntN(6) {
		ops = append(ops, draw("SET"))
	}
	return ops
}

// run sends commands, several at a time, until the connection breaks.
func (c *modelled) run(t *testing.T, addr string, r *rand.Rand) {
	s, err := dial(addr)
	if err != nil {
		return // the server is gone already
	}
	defer s.Close()
	for {
		var out bytes.Buffer
		for range 1 + r.IntN(8) {
			ops := c.draw(r)
			appendCommand(&out, ops)
			c.pending = append(c.pending, ops...)
		}
		if _, err := s.Write(out.Bytes()); err != nil {
			return
		}
		for len(c.pending) > 0 {
			line, err := s.in.ReadBytes('\n')
			if err != nil {
				return
			}
			var answer map[string]struct {
				St int `json:"st"`
			}
			o := &c.pending[0]
			if err := json.Unmarshal(line, &answer); err != nil {
				t.Errorf("answered %s, %v", line, err)
				return
			}
			st := answer[o.command+"_RSP"].St
			if st == 15 && c.mayRefuse {
				c.pending = c.pending[1:]
				continue
			}
			done := o.apply(c.state)
			if is := st == 1 || st == 2 || st == 5; is != done {
				t.Errorf("%s of %s answered %s, want it done: %t", o.command, o.key, line, done)
				return
			}
			c.pending = c.pending[1:]
		}
	}
}

// check compares what is there with what the client knows: it is what it was after all that
// was answered, and after some of what was sent since, in order.
func (c *modelled) check(t *testing.T, addr string) {
	t.Helper()
	s, err := dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	is := map[string]stored{} // ttl is what is left
	for i := range keysOfClient {
		key := c.key(i)
		answer, err := s.ask(fmt.Sprintf(`{"GET":[%q]}`, key))
		if err != nil {
			t.Fatal(err)
		}
		value, found := strings.CutPrefix(answer, fmt.Sprintf(`{"GET_RSP":{"st":0,%q:`, key))
		if !found {
			continue
		}
		v := stored{value: strings.TrimSuffix(value, "}}")}
		if answer, err = s.ask(fmt.Sprintf(`{"TTL":[%q]}`, key)); err != nil {
			t.Fatal(err)
		}
		var ms int64
		if _, err := fmt.Sscanf(answer, fmt.Sprintf(`{"TTL_RSP":{"st":0,%q:%%d`, key), &ms); err == nil {
			v.ttl = time.Duration(ms) * time.Millisecond
		} else if !strings.Contains(answer, ":null") {
			t.Errorf("TTL: %s", answer)
		}
		is[key] = v
	}
	before := maps.Clone(c.state)
	for sent := c.pending; ; sent = sent[1:] {
		if maps.EqualFunc(is, c.state, matches) {
			c.pending = nil
			return
		}
		if len(sent) == 0 {
			break
		}
		sent[0].apply(c.state)
	}
	for key := range before {
		if !matches(is[key], before[key]) {
			t.Logf("%s is %v, was answered %v", key, is[key], before[key])
		}
	}
	t.Errorf("%s has what it never had: %d keys; %d after what was answered, then %+v", c.name, len(is), len(before), c.pending)
}

// matches reports whether what is there may have come of what was sent.
func matches(is, was stored) bool {
	gone := was.ttl - is.ttl // of the time
	return is.value == was.value && (is.ttl == 0) == (was.ttl == 0) &&
		(was.ttl == 0 || gone > -time.Minute && gone < time.Since(was.sent)+time.Minute)
}

// TestKill kills a server under load again and again, at any moment, in every mode, with
// two loops and snapshots between. What is there afterwards, values, what they are and until
// when, is what it was when the last answer came, or after some of what was sent since.
func TestKill(t *testing.T) {
	r := rand.New(rand.NewPCG(newSeed(t), 0))
	dir := t.TempDir()
	clients := newModelled(4)
	for n := range *kills {
		mode := []string{"everysec", "always", "no"}[n%3]
		p := startOn(t, dir, "--values", "any", "--loops", fmt.Sprint(1+n%2), "--fsync", mode)
		for _, c := range clients {
			c.check(t, p.addr)
		}
		if t.Failed() {
			return
		}
		var wg sync.WaitGroup
		for _, c := range clients {
			cr := rand.New(rand.NewPCG(r.Uint64(), 0))
			wg.Go(func() { c.run(t, p.addr, cr) })
		}
		if n%3 == 1 {
			if got := mustAsk(t, p.addr, `{"SAVE":{}}`); !strings.HasPrefix(got, `{"SAVE_RSP":{"st":0,"keys":`) {
				t.Errorf("SAVE: %s", got)
			}
		}
		time.Sleep(time.Duration(20+r.IntN(300)) * time.Millisecond) // any moment: there is no event to wait for
		p.kill()
		wg.Wait()
	}
	for _, c := range clients {
		if len(c.state) == 0 {
			t.Errorf("nothing of %s was answered", c.name)
		}
	}
}
