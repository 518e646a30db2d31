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
)

// keyOp is an operation on one key. A value is a number, 0 when there is none.
type keyOp struct {
	name  string
	key   int
	value int // what is stored
}

// keyAnswer is its answer.
type keyAnswer struct{ status, value int }

var keyModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, linearKeys)
		for _, op := range history {
			key := op.Input.(keyOp).key
			parts[key] = append(parts[key], op)
		}
		return parts
	},
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		is, op, got := state.(int), input.(keyOp), output.(keyAnswer)
		present := is != 0
		status := func(there, missing int) bool {
			return present && got.status == there || !present && got.status == missing
		}
		switch op.name {
		case "SET":
			return status(2, 1), op.value
		case "ADD":
			if present {
				op.value = is
			}
			return status(4, 1), op.value
		case "GET":
			return status(0, 3) && got.value == is, is
		case "CONTAINS":
			return status(4, 3), is
		case "RMV":
			return status(5, 3), 0
		case "CLEAR":
			return got.status == 0, 0
		}
		panic("no such command: " + op.name)
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
	for began := time.Now(); decided == 0 || time.Since(began) < *linearFlag; rounds++ {
		history := linearRound(t, s, seed+uint64(rounds), rounds, length)
		ops += len(history)
		switch porcupine.CheckOperationsTimeout(keyModel, history, patience) {
		case porcupine.Illegal:
			t.Fatalf("round %d: no order of the operations explains the answers", rounds)
		case porcupine.Unknown:
			// The more operations overlap, as they do on a busy machine, the longer is the
			// search. It has proved nothing then: the next rounds are shorter.
			if length == linearFewest {
				t.Fatalf("round %d: %d operations are not decided in %v", rounds, len(history), patience)
			}
			length = max(length/2, linearFewest)
			continue
		}
		if decided == 0 && length == linearOps { // short ones have few reads to put faults into
			mustFindFaults(t, history)
		}
		decided++
	}
	t.Logf("%d operations in %d rounds, of which %d were not decided in %v", ops, rounds, rounds-decided, patience)
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
	names := []string{"SET", "SET", "SET", "GET", "GET", "GET", "ADD", "RMV", "CONTAINS"}
	waiting, received := 0, 0 // commands; elements
	var ends []int            // of the elements of each command that waits
	receive := func() {
		for ; received < ends[0]; received++ {
			answer := parseAnswer(c.recv())
			now := int64(time.Since(began))
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
		from := len(history)
		for n := 1 + rng.IntN(3); n > 0; n-- {
			op := keyOp{name: name, key: rng.IntN(linearKeys), value: 1 + id*1_000_000 + len(history)}
			key := fmt.Sprintf(`"hot_%d_%d"`, round, op.key)
			if name == "SET" || name == "ADD" {
				key += ":" + strconv.Itoa(op.value)
			}
			args = append(args, key)
			history = append(history, porcupine.Operation{ClientId: id, Input: op})
		}
		command := fmt.Sprintf(`{"%s":[%s]}`, name, strings.Join(args, ","))
		switch name {
		case "SET", "ADD":
			command = fmt.Sprintf(`{"%s":{%s}}`, name, strings.Join(args, ","))
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
	if status == 0 && strings.Contains(text, `{"GET_RSP"`) {
		answer.value, err = strconv.Atoi(rest[strings.LastIndexByte(rest, ':')+1:])
		if err != nil {
			panic("no number in " + text)
		}
	}
	return answer
}

// mustFindFaults puts faults into a history that is right, each of which must be found: a
// stale read, and two answers to one client that are swapped.
func mustFindFaults(t *testing.T, good []porcupine.Operation) {
	t.Helper()
	found := map[string]int{}
	fault := func(name string, change func(history []porcupine.Operation) bool) {
		if found[name] > 0 {
			return
		}
		history := append([]porcupine.Operation(nil), good...)
		if change(history) && porcupine.CheckOperationsTimeout(keyModel, history, patience) == porcupine.Illegal {
			found[name]++
		}
	}
	reads := func(h []porcupine.Operation, i int) bool {
		return h[i].Input.(keyOp).name == "GET" && h[i].Output.(keyAnswer).status == 0
	}
	const tries = 10
	n := 0
	for i := range good {
		if !reads(good, i) || n == tries {
			continue
		}
		n++
		fault("a stale read", func(h []porcupine.Operation) bool {
			// What another client reads of the key much later is what this one has read.
			for j := len(h) - 1; j >= 0; j-- {
				if reads(h, j) && h[j].Input.(keyOp).key == h[i].Input.(keyOp).key && h[j].Call > h[i].Return && h[j].Output != h[i].Output {
					h[j].Output = h[i].Output
					return true
				}
			}
			return false
		})
		fault("two answers swapped", func(h []porcupine.Operation) bool {
			for j := i + 1; j < len(h) && h[j].ClientId == h[i].ClientId; j++ {
				if reads(h, j) && h[j].Output != h[i].Output {
					h[i].Output, h[j].Output = h[j].Output, h[i].Output
					return true
				}
			}
			return false
		})
	}
	for _, name := range []string{"a stale read", "two answers swapped"} {
		if found[name] == 0 {
			t.Errorf("not found in %d tries: %s", n, name)
		}
	}
}
