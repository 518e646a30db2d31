package engine_test

import (
	"fmt"
	"log"
	"slices"

	"keyframe/engine"
)

// One batch changes and reads; its operations are executed in order.
func ExampleEngine_Apply() {
	store, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	var b engine.Batch
	b.Add(engine.Set, []byte("name"), []byte("Ada"))
	b.Add(engine.Add, []byte("name"), []byte("Grace"))
	b.Add(engine.Get, []byte("name"), nil)
	b.Add(engine.Rename, []byte("name"), []byte("first name"))
	b.Add(engine.Get, []byte("name"), nil)
	store.Apply(&b)

	fmt.Println(b.Ops[0].Status == engine.Created)
	fmt.Println(b.Ops[1].Status == engine.Exists)
	fmt.Println(b.Ops[2].Status == engine.Found, string(b.Ops[2].Value))
	fmt.Println(b.Ops[3].Status == engine.Renamed)
	fmt.Println(b.Ops[4].Status == engine.NotFound)
	// Output:
	// true
	// true
	// true Ada
	// true
	// true
}

// A limit bounds the bytes that one Apply reads. What was read is taken before the next
// Apply, which uses the same memory again.
func ExampleBatch_readLimit() {
	store, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	var b engine.Batch
	b.Add(engine.Set, []byte("key"), []byte("0123456789"))
	store.Apply(&b)
	b.Reset()

	b.ReadLimit = 20
	for range 5 {
		b.Add(engine.Get, []byte("key"), nil)
	}
	for done := false; !done; {
		from, bytes := b.Executed(), 0
		done = store.Apply(&b)
		for _, op := range b.Ops[from:b.Executed()] {
			bytes += len(op.Value)
		}
		fmt.Println(b.Executed()-from, "values,", bytes, "bytes")
	}
	// Output:
	// 2 values, 20 bytes
	// 2 values, 20 bytes
	// 1 values, 10 bytes
}

// Range goes through the keys in no order that means anything; what it passes on is valid
// during the call only.
func ExampleEngine_Range() {
	store, err := engine.New(engine.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	var b engine.Batch
	for _, planet := range []string{"Mercury", "Venus", "Earth"} {
		b.Add(engine.Set, []byte(planet), fmt.Append(nil, len(planet)))
	}
	store.Apply(&b)

	var found []string
	store.Range(func(key, value []byte) bool {
		found = append(found, string(key)+" "+string(value))
		return true
	})
	slices.Sort(found)
	fmt.Println(found)
	// Output: [Earth 5 Mercury 7 Venus 5]
}

// A simulated store does the same in each run. Its maintenance waits until it is asked for,
// and other calls can be put between its steps.
func ExampleSimulation() {
	run := func() (engine.Stats, int) {
		steps := 0
		store, err := engine.New(engine.Options{Shards: 4, Simulation: &engine.Simulation{
			Seed: 1,
			Step: func() { steps++ },
		}})
		if err != nil {
			log.Fatal(err)
		}
		defer store.Close()

		var b engine.Batch
		for i := range 10_000 {
			b.Add(engine.Set, fmt.Append(nil, i), []byte("a value"))
		}
		for i := range 9_000 {
			b.Add(engine.Remove, fmt.Append(nil, i), nil)
		}
		store.Apply(&b)
		store.Maintain(true)
		return store.Stats(), steps
	}
	first, steps := run()
	second, again := run()
	fmt.Println(first == second, steps == again, first.Keys, first.Compactions > 0)
	// Output: true true 1000 true
}
