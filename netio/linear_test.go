package netio_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"keyframe/netio"
)

// PROTOCOL.md section 5: each pair is one linearizable operation on its key. Clients of both
// framings on two loops pipeline commands about a few hot keys, beside churn and CLEAR, and
// note when each was sent and answered. Porcupine looks for an order of the operations that
// explains every answer. Keys are looked at one by one, since a history is linearizable if
// that of each of its objects is (Herlihy and Wing); a CLEAR removes each.

var linearFlag = flag.Duration("linear", 2*time.Second, "how long TestLinearizable runs")

const (
	linearKeys    = 4
	linearClients = 4
	linearOps     = 100 // a client and round, at first
	linearFewest  = 10  // of which a search of any order is short
	linearDepth   = 2   // commands that a client has sent and not read the answers of

	linearSearch = 20 * time.Second // for an order that explains a round
)

// keyOp is an operation on one key. A value is a number, 0 when there is none.
type keyOp struct {
	name     string
	key      int
	value    int   // what is stored, or added
	expected int   // what a CAS compares with
	ttl      int   // of SETEX and EXPIRE, in milliseconds
	sent     int64 // when, in milliseconds since 1970
}

// keyAnswer is its answer.
type keyAnswer struct {
	status, value int
	came          int64 // when, in milliseconds since 1970
}

func (a keyAnswer) says(other keyAnswer) bool {
	return a.status == other.status && a.value == other.value
}

// keyState is what a key has: a value, and the first and the last time that its deadline may
// be, since nobody knows when between its sending and its answer a command was executed; 0
// for none.
type keyState struct {
	value       int
	first, last int64
}

// keyStatuses are the status of each command for a key that is there, and for one that isn't.
var keyStatuses = map[string][2]int{
	"SET": {2, 1}, "SETEX": {2, 1}, "ADD": {4, 1}, "GET": {0, 3}, "CONTAINS": {4, 3}, "RMV": {5, 3},
	"TAKE": {5, 3}, "INCR": {2, 1}, "CAS": {2, 3}, "EXPIRE": {2, 3}, "CLEAR": {0, 0},
}

const differs = 8

var keyModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, linearKeys)
		for _, op := range history {
			key := op.Input.(keyOp).key
			parts[key] = append(parts[key], op)
		}
		return parts
	},
	Init: func() any { return keyState{} },
	Step: func(state, input, output any) (bool, any) {
		is, op, got := state.(keyState), input.(keyOp), output.(keyAnswer)
		if op.name == "CLEAR" {
			return got.status == 0, keyState{}
		}
		st := keyStatuses[op.name]
		there := got.status == st[0] || op.name == "CAS" && got.status == differs
		mayLive := is.value != 0 && (is.last == 0 || op.sent < is.last)
		mayBeGone := is.value == 0 || is.last != 0 && got.came >= is.first
		switch {
		case there && !mayLive, !there && (got.status != st[1] || !mayBeGone):
			return false, is
		case !there:
			is = keyState{}
		}
		next := is
		switch op.name {
		case "SET":
			next = keyState{value: op.value}
		case "SETEX":
			next = keyState{op.value, op.sent + int64(op.ttl), got.came + int64(op.ttl)}
		case "ADD":
			if !there {
				next.value = op.value
			}
		case "GET":
			return got.value == is.value, is
		case "RMV":
			next = keyState{}
		case "TAKE":
			return got.value == is.value, keyState{}
		case "INCR":
			next.value += op.value
			return got.value == next.value, next
		case "CAS":
			if there && (got.status == differs) != (is.value != op.expected) {
				return false, is
			}
			if got.status == st[0] {
				next.value = op.value
			}
		case "EXPIRE":
			if there {
				next.first, next.last = op.sent+int64(op.ttl), got.came+int64(op.ttl)
			}
		}
		return true, next
	},
}

func TestLinearizable(t *testing.T) {
	s := startServer(t, netio.Options{Loops: 2})
	seed := flag.Lookup("seed").Value.(flag.Getter).Get().(uint64)
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	length, ops, rounds, decided := linearOps, 0, 0, 0
	found := map[string]bool{}
	for began := time.Now(); decided == 0 || time.Since(began) < *linearFlag || len(found) < len(linearFaults) && rounds < 30; rounds++ {
		history := linearRound(t, s, seed+uint64(rounds), rounds, length)
		ops += len(history)
		switch porcupine.CheckOperationsTimeout(keyModel, history, linearSearch) {
		case porcupine.Illegal:
			t.Fatalf("round %d: no order of the operations explains the answers", rounds)
		case porcupine.Unknown:
			// The more operations overlap, as they do on a busy machine, the longer is the
			// search. It has proved nothing then: the next rounds are shorter.
			if length == linearFewest {
				t.Fatalf("round %d: %d operations are not decided in %v", rounds, len(history), linearSearch)
			}
			length = max(length/2, linearFewest)
			continue
		}
		findFaults(history, found)
		decided++
	}
	for name := range linearFaults {
		if !found[name] {
			t.Errorf("never found: %s", name)
		}
	}
	t.Logf("%d operations in %d rounds, of which %d were not decided in %v", ops, rounds, rounds-decided, linearSearch)
}

// linearRound has every client send commands of length elements or a few more about the
// round's keys, and returns what was sent and answered.
func linearRound(t *testing.T, s *testServer, seed uint64, round, length int) (history []porcupine.Operation) {
	t.Helper()
	began := time.Now()
	var all sync.WaitGroup
	var mu sync.Mutex
	done := make(chan struct{})
	var churning sync.WaitGroup
	churner := dialLines(t, "unix", s.unix)
	churning.Go(func() { // keys that come and go make shards grow and be compacted
		rng := rand.New(rand.NewPCG(seed, 1000))
		for {
			select {
			case <-done:
				churner.hangUp()
				return
			default:
			}
			var pairs, keys []string
			for range 200 {
				n := rng.IntN(50_000)
				pairs = append(pairs, fmt.Sprintf(`"churn_%d":"%s"`, n, strings.Repeat("v", rng.IntN(300))))
				keys = append(keys, fmt.Sprintf(`"churn_%d"`, rng.IntN(50_000)))
			}
			churner.send(`{"SETQ":{` + strings.Join(pairs, ",") + "}}")
			churner.send(`{"RMV":[` + strings.Join(keys, ",") + "]}")
			for range keys {
				churner.recv()
			}
		}
	})
	for id := range linearClients {
		var c client
		if id%2 == 0 {
			c = dialLines(t, "tcp", s.tcp)
		} else {
			c = dialWebSocket(t, "tcp", s.tcp)
		}
		all.Go(func() {
			defer c.hangUp() // a test of an hour has more rounds than there are descriptors
			mine := linearClient(c, rand.New(rand.NewPCG(seed, uint64(id))), id, round, length, began)
			mu.Lock()
			history = append(history, mine...)
			mu.Unlock()
		})
	}
	all.Wait()
	close(done)
	churning.Wait()
	return history
}

// linearClient sends commands of one to three elements, linearDepth at a time.
func linearClient(c client, rng *rand.Rand, id, round, length int, began time.Time) (history []porcupine.Operation) {
	names := []string{
		"SET", "SET", "SET", "GET", "GET", "GET", "GET", "GET", "ADD", "RMV", "CONTAINS",
		"INCR", "INCR", "CAS", "CAS", "TAKE", "SETEX", "EXPIRE",
	}
	var known [linearKeys]int // the latest value of each key that this client knows of
	waiting, received := 0, 0 // commands; elements
	var ends []int            // of the elements of each command that waits
	receive := func() {
		for ; received < ends[0]; received++ {
			answer := parseAnswer(c.recv())
			now := int64(time.Since(began))
			answer.came = time.Now().UnixMilli()
			if op := history[received].Input.(keyOp); answer.value != 0 {
				known[op.key] = answer.value
			} else if op.name != "GET" && op.value != 0 {
				known[op.key] = op.value
			}
			for op := &history[received]; ; op = &history[received] {
				op.Output, op.Return = answer, now
				if op.Input.(keyOp).name != "CLEAR" || received+1 == ends[0] {
					break
				}
				received++ // one answer for the CLEAR of every key
			}
		}
		ends, waiting = ends[1:], waiting-1
	}
	for len(history) < length {
		name := names[rng.IntN(len(names))]
		if rng.IntN(60) == 0 {
			name = "CLEAR"
		}
		var args []string
		from, ttl := len(history), 1+rng.IntN(30)
		for n := 1 + rng.IntN(3); n > 0; n-- {
			op := keyOp{name: name, key: rng.IntN(linearKeys), sent: time.Now().UnixMilli()}
			key := fmt.Sprintf(`"hot_%d_%d"`, round, op.key)
			switch name {
			case "SET", "SETEX", "ADD", "CAS":
				op.value = 1 + id*1_000_000 + len(history)
			case "INCR":
				op.value = 1 + rng.IntN(5)
			}
			switch name {
			case "SET", "SETEX", "ADD", "INCR":
				key += ":" + strconv.Itoa(op.value)
			case "CAS":
				op.expected = known[op.key]
				key += fmt.Sprintf(":[%d,%d]", op.expected, op.value)
			case "EXPIRE":
				op.ttl = ttl
				key += ":" + strconv.Itoa(ttl)
			}
			if name == "SETEX" {
				op.ttl = ttl
			}
			args = append(args, key)
			history = append(history, porcupine.Operation{ClientId: id, Input: op})
		}
		command := fmt.Sprintf(`{"%s":[%s]}`, name, strings.Join(args, ","))
		switch name {
		case "SET", "ADD", "INCR", "CAS", "EXPIRE":
			command = fmt.Sprintf(`{"%s":{%s}}`, name, strings.Join(args, ","))
		case "SETEX":
			command = fmt.Sprintf(`{"SETEX":{"ttl":%d,"pairs":{%s}}}`, ttl, strings.Join(args, ","))
		case "CLEAR":
			history = history[:from]
			for key := range linearKeys {
				history = append(history, porcupine.Operation{ClientId: id, Input: keyOp{name: name, key: key}})
			}
			command = `{"CLEAR":{}}`
		}
		now := int64(time.Since(began))
		for i := from; i < len(history); i++ {
			history[i].Call = now
		}
		ends, waiting = append(ends, len(history)), waiting+1
		c.send(command)
		if waiting == linearDepth {
			receive()
		}
	}
	for waiting > 0 {
		receive()
	}
	return history
}

// parseAnswer takes the status and the value, which is a number, out of an answer.
func parseAnswer(text string) keyAnswer {
	_, rest, _ := strings.Cut(text, `"st":`)
	st, rest, _ := strings.Cut(strings.TrimRight(rest, "}"), ",")
	status, err := strconv.Atoi(st)
	if err != nil {
		panic("no status in " + text)
	}
	answer := keyAnswer{status: status}
	if strings.HasPrefix(text, `{"GET_RSP"`) && status == 0 || strings.HasPrefix(text, `{"TAKE_RSP"`) && status == 5 ||
		strings.HasPrefix(text, `{"INCR_RSP"`) && (status == 1 || status == 2) {
		answer.value, err = strconv.Atoi(rest[strings.LastIndexByte(rest, ':')+1:])
		if err != nil {
			panic("no number in " + text)
		}
	}
	return answer
}

func is(h []porcupine.Operation, i int, name string, status int) bool {
	return h[i].Input.(keyOp).name == name && h[i].Output.(keyAnswer).status == status
}

// linearFaults are faults to be put into a history that is right, at one of its operations;
// each reports whether there is a place for it.
var linearFaults = map[string]func(h []porcupine.Operation, i int) bool{
	"a stale read": func(h []porcupine.Operation, i int) bool {
		// What another client reads of the key much later is what this one has read.
		for j := len(h) - 1; j >= 0 && is(h, i, "GET", 0); j-- {
			if is(h, j, "GET", 0) && h[j].Input.(keyOp).key == h[i].Input.(keyOp).key && h[j].Call > h[i].Return && !h[j].Output.(keyAnswer).says(h[i].Output.(keyAnswer)) {
				h[j].Output = h[i].Output
				return true
			}
		}
		return false
	},
	"two answers swapped": func(h []porcupine.Operation, i int) bool {
		for j := i + 1; j < len(h) && h[j].ClientId == h[i].ClientId && is(h, i, "GET", 0); j++ {
			if is(h, j, "GET", 0) && !h[j].Output.(keyAnswer).says(h[i].Output.(keyAnswer)) {
				h[i].Output, h[j].Output = h[j].Output, h[i].Output
				return true
			}
		}
		return false
	},
	"an increment that is lost": func(h []porcupine.Operation, i int) bool {
		answer := h[i].Output.(keyAnswer)
		answer.value -= h[i].Input.(keyOp).value
		h[i].Output = answer
		return is(h, i, "INCR", 2)
	},
	"a comparison that succeeds with another value": func(h []porcupine.Operation, i int) bool {
		if !is(h, i, "CAS", differs) {
			return false
		}
		answer := h[i].Output.(keyAnswer)
		answer.status = 2
		h[i].Output = answer
		return true
	},
	"a value that is taken twice": func(h []porcupine.Operation, i int) bool {
		for j := range h {
			if is(h, i, "TAKE", 5) && is(h, j, "TAKE", 3) && h[i].Input.(keyOp).key == h[j].Input.(keyOp).key {
				h[j].Output = h[i].Output
				return true
			}
		}
		return false
	},
	"a read of what is dead": func(h []porcupine.Operation, i int) bool {
		// A key that was there is said to have had a deadline that was over.
		for j := range h {
			if op := h[j].Input.(keyOp); op.name == "SETEX" && is(h, i, "GET", 0) && h[i].Output.(keyAnswer).value == op.value {
				op.ttl, op.sent = 1, op.sent-1000
				answer := h[j].Output.(keyAnswer)
				answer.came -= 1000
				h[j].Input, h[j].Output = op, answer
				return true
			}
		}
		return false
	},
}

// findFaults puts each fault that has not been found yet into a history that is right, in
// some places.
func findFaults(good []porcupine.Operation, found map[string]bool) {
	for name, change := range linearFaults {
		tries := 0
		for i := range good {
			if found[name] || tries == 5 {
				break
			}
			history := append([]porcupine.Operation(nil), good...)
			if change(history, i) {
				tries++
				found[name] = porcupine.CheckOperationsTimeout(keyModel, history, linearSearch) == porcupine.Illegal
			}
		}
		if !found[name] {
			delete(found, name)
		}
	}
}
