package netio

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/netio/frame"
)

// TestCounters: everything is counted once, by the right counter, however the stream is
// cut.
func TestCounters(t *testing.T) {
	commands := []string{
		`{"SET":{"counted_1":1,"counted_2":2,"key1":3,"counted_3":null}}`, // two executed, one key too short, one value of a wrong type
		`{"GET":["counted_1","nobody_here"]}`,
		`{"COUNT":{}}`,
		`{"NOPE":{}}`, `[]`, `{`, `{"GET":{}}`,
		`{"RMV":["counted_1"]}`,
	}
	want := Counters{Queries: 8}
	want.Commands[codec.OpSet] = 1
	want.Commands[codec.OpGet] = 1
	want.Commands[codec.OpCount] = 1
	want.Commands[codec.OpRemove] = 1
	want.Errors[ErrorKeyLength] = 1
	want.Errors[ErrorValueType] = 1
	want.Errors[ErrorUnknownCommand] = 1
	want.Errors[ErrorNotOneCommand] = 1
	want.Errors[ErrorSyntax] = 1
	want.Errors[ErrorArgumentType] = 1

	var lines, frames []byte
	for _, c := range commands {
		lines = append(append(lines, c...), '\n')
		frames = append(frames, textFrame(c)...)
	}
	lines = append(lines, "\r\n"...) // one blank line
	// A command in two fragments and a ping: three frames, one command.
	frames = append(frames, clientFrame(false, frame.Text, []byte(`{"RMV":["coun`), testKey)...)
	frames = append(frames, clientFrame(true, frame.Ping, []byte("x"), testKey)...)
	frames = append(frames, clientFrame(true, frame.Continuation, []byte(`ted_2"]}`), testKey)...)
	frames = append(frames, clientFrame(true, frame.Binary, []byte("x"), testKey)...) // 1003

	check := func(name string, stream []byte, want Counters, pieces int) {
		t.Helper()
		h := newHarness(t, Options{StrictText: true})
		h.startReading()
		for i := range pieces {
			h.feed(stream[len(stream)*i/pieces : len(stream)*(i+1)/pieces])
		}
		sent := h.finish()
		want.BytesIn, want.BytesOut = uint64(len(stream)), uint64(len(sent))
		n := h.loop.published.Counters
		if pieces > 1 {
			want.BatchSizes, n.BatchSizes = [NumBatchSizes]uint64{}, [NumBatchSizes]uint64{} // they depend on the cuts
		}
		n.ApplyTime = 0
		if n != want {
			t.Fatalf("%s in %d pieces:\n got %+v\nwant %+v", name, pieces, n, want)
		}
	}
	for _, pieces := range []int{1, 7, 100} {
		lineWant := want
		lineWant.Frames = 9
		lineWant.BatchOps = 2 + 2 + 1
		lineWant.BatchSizes[2] = 1 // SET and GET together
		lineWant.BatchSizes[0] = 1
		check("lines", lines, lineWant, pieces)

		frameWant := want
		frameWant.Queries = 9
		frameWant.Commands[codec.OpRemove] = 2
		frameWant.Errors[ErrorUnsupported] = 1
		frameWant.Frames = 8 + 3 + 1
		frameWant.BatchOps = 2 + 2 + 1 + 1
		frameWant.BatchSizes[2] = 1
		frameWant.BatchSizes[0] = 2
		check("websocket", append([]byte(upgradeRequest), frames...), frameWant, pieces)
	}
}

// TestCountersOfLongCommands: a command that takes several turns is one command.
func TestCountersOfLongCommands(t *testing.T) {
	h := newHarness(t, Options{})
	h.startDiscarding()
	const keys = 30_007
	h.feed(append(bigSet(keys), '\n'))
	h.finish()
	n := h.loop.published.Counters
	if n.Queries != 1 || n.Frames != 1 || n.Commands[codec.OpSet] != 1 || n.BatchOps != keys || n.ApplyTime <= 0 {
		t.Fatalf("%+v", n)
	}
	batches := uint64(0)
	for _, b := range n.BatchSizes {
		batches += b
	}
	// The first is as large as what was decoded while the command was checked.
	if want := uint64((keys + batchOps - 1) / batchOps); batches < want || batches > want+1 || n.BatchSizes[NumBatchSizes-2] < want-2 {
		t.Fatalf("%d batches, want %d: %v", batches, want, n.BatchSizes)
	}
}

// TestFloodHasItsShare: a connection that floods its loop executes no more than
// its share before another that has sent a command is answered.
func TestFloodHasItsShare(t *testing.T) {
	h := newHarness(t, Options{})
	h.startDiscarding()
	single, client := h.newConn()
	flood := []byte{}
	for range 100 {
		flood = append(append(flood, bigSet(1000)...), '\n')
	}
	const share = turnCost/costElement + batchOps // and what is in a batch already
	turns := 0
	h.loop.serve(h.conn, flood)
	for ; h.conn.ready; turns++ {
		if n := h.loop.count.BatchOps; n > uint64(turns+1)*share {
			t.Fatalf("turn %d: the flood has executed %d operations, its share is %d a turn", turns, n, share)
		}
		// The loop looks at the other sockets before the flood's next turn.
		h.loop.serve(single, []byte("{\"SET\":{\"single_key\":1}}\n"))
		answer := make([]byte, 100)
		n, err := client.Read(answer)
		if err != nil || string(answer[:n]) != fmt.Sprintf("{\"SET_RSP\":{\"st\":%d,\"k\":\"single_key\"}}\n", min(turns+1, 2)) {
			t.Fatalf("got %q, %v", answer[:n], err)
		}
		<-h.loop.rerun
		h.loop.runReady()
	}
	if turns < 100*1000/share {
		t.Fatalf("the flood had %d turns", turns)
	}
	socket := int(single.out.sock.(descriptor))
	h.loop.drop(single)
	_ = unix.Close(socket)
	_ = client.Close()
	h.finish()
}

// TestTotals: every counter of a loop is added to the total.
func TestTotals(t *testing.T) {
	var total, one Counters
	n := int64(0)
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				fill(v.Field(i))
			}
		case reflect.Array:
			for i := range v.Len() {
				fill(v.Index(i))
			}
		case reflect.Int64:
			n++
			v.SetInt(n)
		default:
			n++
			v.SetUint(uint64(n))
		}
	}
	fill(reflect.ValueOf(&one).Elem())
	total.add(&one)
	if total != one {
		t.Errorf("%+v is added to nothing, and the total is %+v", one, total)
	}
}

// TestStoreStatistics: Stats has the store's statistics, no older than maxStatsAge.
func TestStoreStatistics(t *testing.T) {
	h := newHarness(t, Options{})
	h.startDiscarding()
	now := time.Now()
	h.srv.storeStats(now)
	h.feed([]byte("{\"SET\":{\"first_key\":1}}\n"))
	if st := h.srv.storeStats(now.Add(maxStatsAge)); st.Keys != 0 {
		t.Errorf("gathered again at once: %d keys", st.Keys)
	}
	if st := h.srv.storeStats(now.Add(maxStatsAge + 1)); st.Keys != 1 {
		t.Errorf("%d keys", st.Keys)
	}
	h.finish()
}

// slowStore takes a millisecond of the server's clock for each batch.
type slowStore struct {
	store
	now *time.Time
}

func (s slowStore) Apply(b *engine.Batch) bool {
	*s.now = s.now.Add(time.Millisecond)
	return s.store.Apply(b)
}

// TestApplyTime: of small batches one in sampleEvery is timed, and counts for all of them.
func TestApplyTime(t *testing.T) {
	h := newHarness(t, Options{})
	h.startDiscarding()
	now := time.Now()
	h.loop.pipe.now = func() time.Time { return now }
	h.loop.pipe.store = slowStore{h.store, &now}
	for range 10 * sampleEvery {
		h.feed([]byte("{\"SET\":{\"first_key\":1}}\n"))
	}
	h.feed(append(bigSet(alwaysTimed), '\n'))
	if n := h.loop.count.ApplyTime; n != (10*sampleEvery+1)*time.Millisecond {
		t.Errorf("%v for %d batches of a millisecond", n, 10*sampleEvery+1)
	}
	h.finish()
}

// TestClientsCloseIsNoError: a client that closes with an error's code has met that error,
// not the server. A close frame that is itself wrong counts.
func TestClientsCloseIsNoError(t *testing.T) {
	for _, tt := range []struct {
		payload string
		sent    string
		want    map[ErrorKind]uint64
	}{
		{"", "close", nil},
		{"\x03\xE8", "close 1000: ", nil},
		{"\x03\xEAbad frame", "close 1002: ", nil},
		{"\x03\xEB", "close 1003: ", nil},
		{"\x03\xEF", "close 1007: ", nil},
		{"\x03\xF1too long", "close 1009: ", nil},
		{"\x03", "close 1002: close frame of one byte", map[ErrorKind]uint64{ErrorProtocol: 1}},
		{"\x03\xED", "close 1002: close code out of range", map[ErrorKind]uint64{ErrorProtocol: 1}},
		{"\x03\xEA\xFF", "close 1007: close reason is not UTF-8", map[ErrorKind]uint64{ErrorInvalidText: 1}},
	} {
		h := newHarness(t, Options{})
		h.startReading()
		h.feed([]byte(upgradeRequest))
		h.feed(clientFrame(true, frame.Close, []byte(tt.payload), testKey))
		sent := serverMessages(t, h.finish())
		if want := []string{tt.sent}; !slices.Equal(sent, want) {
			t.Errorf("%q: the server sent %q, want %q", tt.payload, sent, want)
		}
		for kind, n := range h.loop.published.Errors {
			if want := tt.want[ErrorKind(kind)]; n != want {
				t.Errorf("%q: %d errors of kind %s, want %d", tt.payload, n, ErrorKind(kind), want)
			}
		}
	}
}

// TestBlanksAreCountedOnce: a turn that ends in the middle of a batch goes back to the
// command that it ended in, and the blank lines after that are counted once all the same.
func TestBlanksAreCountedOnce(t *testing.T) {
	h := newHarness(t, Options{})
	h.startDiscarding()
	h.feed([]byte(`{"SET":{"blank_key":"` + strings.Repeat("v", 100_000) + "\"}}\n"))
	before := h.loop.count.Frames
	const gets = 60
	h.feed([]byte(strings.Repeat("{\"GET\":[\"blank_key\"]}\n\n \r\n", gets)))
	if h.loop.count.Frames-before != 3*gets || h.loop.count.Queries != 1+gets {
		t.Errorf("%d frames and %d commands, want %d and %d", h.loop.count.Frames-before, h.loop.count.Queries-1, 3*gets, gets)
	}
	h.finish()
}
