package main_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// With --fsync always a store on disk is one linearizable object for all its lives: what was
// answered, reads too, holds after a kill -9; what was not answered has happened at some
// time since it was sent, in this life or never.

const (
	killedLives   = 5
	killedClients = 4
	killedKeys    = 3
	killedOps     = 200 // a life at most, so that the search for an order is short
)

type killedOp struct {
	name  string
	key   int
	value int // what is set; unique
}

// killedAnswer is a status, and the value that was read; unknown: the server was killed.
type killedAnswer struct {
	status, value int
	unknown       bool
}

var killedModel = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, killedKeys)
		for _, op := range history {
			key := op.Input.(killedOp).key
			parts[key] = append(parts[key], op)
		}
		return parts
	},
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		is, op, got := state.(int), input.(killedOp), output.(killedAnswer)
		switch op.name {
		case "SET":
			return got.unknown || (got.status == 2) == (is != 0), op.value
		case "RMV":
			return got.unknown || (got.status == 5) == (is != 0), 0
		default:
			return got.unknown || got.value == is, is
		}
	},
}

// killedClient sends commands until the server is gone, and counts those that are answered.
func killedClient(addr string, id int, r *rand.Rand, now func() int64, answered *atomic.Int64) (history []porcupine.Operation) {
	s, err := dial(addr)
	if err != nil {
		return nil // the server is gone already
	}
	defer s.Close()
	for n := 0; ; n++ {
		op := killedOp{name: []string{"SET", "SET", "GET", "GET", "RMV"}[r.IntN(5)], key: r.IntN(killedKeys), value: 1 + id*1000 + n}
		line := fmt.Sprintf(`{"%s":["killed_%d"]}`, op.name, op.key)
		if op.name == "SET" {
			line = fmt.Sprintf(`{"SET":{"killed_%d":%d}}`, op.key, op.value)
		}
		h := porcupine.Operation{ClientId: id, Input: op, Call: now(), Return: math.MaxInt64, Output: killedAnswer{unknown: true}}
		answer, err := s.ask(line)
		if err != nil {
			return append(history, h)
		}
		var got killedAnswer
		_, rest, _ := strings.Cut(answer, `"st":`)
		st, _, _ := strings.Cut(strings.TrimRight(rest, "}"), ",")
		got.status, _ = strconv.Atoi(st)
		if op.name == "GET" && got.status == 0 {
			got.value, _ = strconv.Atoi(strings.TrimRight(rest[strings.LastIndexByte(rest, ':')+1:], "}"))
		}
		h.Return, h.Output = now(), got
		history = append(history, h)
		if answered.Add(1) >= killedOps {
			return history
		}
	}
}

// TestKillLinearizable kills a server several times under clients that share a few keys:
// there is an order of all that they have sent, to all its lives, that explains each answer.
func TestKillLinearizable(t *testing.T) {
	r := rand.New(rand.NewPCG(newSeed(t), 0))
	dir, began := t.TempDir(), time.Now()
	now := func() int64 { return int64(time.Since(began)) }
	var history []porcupine.Operation
	for life := range killedLives {
		p := startOn(t, dir, "--loops", fmt.Sprint(1+life%2), "--fsync", "always")
		var answered atomic.Int64
		var mu sync.Mutex
		var wg sync.WaitGroup
		for c := range killedClients {
			id, seed := life*killedClients+c, r.Uint64()
			wg.Go(func() {
				mine := killedClient(p.addr, id, rand.New(rand.NewPCG(seed, 0)), now, &answered)
				mu.Lock()
				defer mu.Unlock()
				history = append(history, mine...)
			})
		}
		enough, gone := 20+r.Int64N(killedOps-40), time.Now().Add(patience)
		for answered.Load() < enough && time.Now().Before(gone) {
			time.Sleep(100 * time.Microsecond)
		}
		p.kill()
		wg.Wait()
	}
	if got := porcupine.CheckOperationsTimeout(killedModel, history, patience); got == porcupine.Illegal {
		t.Fatalf("no order of %d operations explains the answers", len(history))
	} else if got == porcupine.Unknown {
		t.Skipf("the search for an order of %d operations takes longer than %v", len(history), patience)
	}
	// The check can fail.
	for _, h := range history {
		if op := h.Input.(killedOp); op.name == "SET" && !h.Output.(killedAnswer).unknown {
			stale := porcupine.Operation{ClientId: 1 << 20, Input: killedOp{name: "GET", key: op.key}, Call: now(), Return: now() + 1, Output: killedAnswer{value: -1}}
			if porcupine.CheckOperationsTimeout(killedModel, append(history[:len(history):len(history)], stale), patience) != porcupine.Illegal {
				t.Error("a value that was never set is read, and not found")
			}
			break
		}
	}
	if len(history) < killedLives*20 {
		t.Errorf("only %d operations", len(history))
	}
}
