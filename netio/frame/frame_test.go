package frame_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"keyframe/netio/frame"
)

// clientFrame builds a masked frame as a client would, by the book and slowly.
func clientFrame(fin bool, opcode frame.Opcode, payload []byte, key [4]byte) []byte {
	first := byte(opcode)
	if fin {
		first |= 0x80
	}
	out := []byte{first}
	switch n := len(payload); {
	case n <= 125:
		out = append(out, 0x80|byte(n))
	case n <= 65535:
		out = append(out, 0x80|126, byte(n>>8), byte(n))
	default:
		out = append(out, 0x80|127)
		out = binary.BigEndian.AppendUint64(out, uint64(n))
	}
	out = append(out, key[:]...)
	for i, b := range payload {
		out = append(out, b^key[i%4])
	}
	return out
}

var testKey = [4]byte{0xA1, 0x02, 0xF3, 0x44}

func textFrame(s string) []byte { return clientFrame(true, frame.Text, []byte(s), testKey) }

// drainReader takes all messages of stream as they come when it arrives in the
// given pieces. It copies what Next returns.
func drainReader(t testing.TB, maxMessage int, pieces ...[]byte) (got []frame.Message, err error) {
	t.Helper()
	r := frame.Reader{MaxMessage: maxMessage}
	var buf []byte
	for _, p := range pieces {
		buf = append(buf, p...)
		for {
			m, size, err := r.Next(buf)
			if errors.Is(err, frame.ErrIncomplete) {
				break
			}
			if err != nil {
				return got, err
			}
			if m.Opcode != 0 {
				m.Payload = bytes.Clone(m.Payload)
				got = append(got, m)
			}
			buf = buf[size:]
		}
	}
	return got, nil
}

func TestUnmask(t *testing.T) {
	for n := range 200 {
		plain := make([]byte, n)
		for i := range plain {
			plain[i] = byte(i * 7)
		}
		f := clientFrame(true, frame.Binary, plain, testKey)
		h, err := frame.ParseFromClient(f, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if got := frame.Open(f, h); !bytes.Equal(got, plain) {
			t.Fatalf("length %d: got %x, want %x", n, got, plain)
		}
		// A turn that goes back parses the frame once more.
		if got := frame.Open(f, h); !bytes.Equal(got, plain) {
			t.Fatalf("length %d: the second time: got %x, want %x", n, got, plain)
		}
	}
}

func TestHeaderLengths(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 65537, 1 << 20} {
		payload := bytes.Repeat([]byte{'x'}, n)
		got, err := drainReader(t, 1<<20, clientFrame(true, frame.Text, payload, testKey))
		if err != nil || len(got) != 1 || !bytes.Equal(got[0].Payload, payload) {
			t.Errorf("length %d: %d messages, error %v", n, len(got), err)
		}
		// What the server sends is as long as the client reads.
		h := frame.AppendHeader(nil, frame.Text, n)
		want := 2
		if n > 125 {
			want = 4
		}
		if n > 65535 {
			want = 10
		}
		if len(h) != want || h[0] != 0x81 {
			t.Errorf("length %d: header %x, want %d bytes", n, h, want)
		}
	}
}

func TestProtocolErrors(t *testing.T) {
	long := func(first, second byte, length uint64) []byte {
		return append(binary.BigEndian.AppendUint64([]byte{first, second}, length), 1, 2, 3, 4)
	}
	bad := []struct {
		name   string
		bytes  []byte
		code   int
		reason string
	}{
		{"RSV1", []byte{0xC1}, frame.CloseProtocolError, "a reserved bit is set"},
		{"RSV2", []byte{0xA1}, frame.CloseProtocolError, "a reserved bit is set"},
		{"RSV3", []byte{0x91}, frame.CloseProtocolError, "a reserved bit is set"},
		{"reserved data opcode", []byte{0x83}, frame.CloseProtocolError, "unknown opcode"},
		{"reserved control opcode", []byte{0x8B}, frame.CloseProtocolError, "unknown opcode"},
		{"unmasked", []byte{0x81, 0x01}, frame.CloseProtocolError, "client frame without a mask"},
		{"fragmented ping", []byte{0x09}, frame.CloseProtocolError, "fragmented control frame"},
		{"fragmented close", []byte{0x08}, frame.CloseProtocolError, "fragmented control frame"},
		{"long ping", []byte{0x89, 0x80 | 126}, frame.CloseProtocolError, "control frame longer than 125 bytes"},
		{"long close", []byte{0x88, 0x80 | 127}, frame.CloseProtocolError, "control frame longer than 125 bytes"},
		{"length with its top bit set", long(0x81, 0xFF, 1<<63), frame.CloseProtocolError, "the length's top bit is set"},
		{"16-bit length below 126", []byte{0x81, 0xFE, 0, 125, 1, 2, 3, 4}, frame.CloseProtocolError, "the length is not in its shortest form"},
		{"64-bit length below 65536", long(0x81, 0xFF, 65535), frame.CloseProtocolError, "the length is not in its shortest form"},
		{"message over the limit", long(0x81, 0xFF, 1<<20+1), frame.CloseTooBig, "the message is longer than the frame limit"},
		{"the largest length", long(0x81, 0xFF, 1<<63-1), frame.CloseTooBig, "the message is longer than the frame limit"},
		{"continuation of nothing", clientFrame(true, frame.Continuation, []byte("x"), testKey), frame.CloseProtocolError, "continuation of nothing"},
		{"text inside a fragmented text", append(clientFrame(false, frame.Text, []byte("x"), testKey), textFrame("y")...), frame.CloseProtocolError, "a new message inside a fragmented one"},
		{
			"fragments over the limit together",
			append(clientFrame(false, frame.Text, make([]byte, 1<<19), testKey),
				clientFrame(true, frame.Continuation, make([]byte, 1<<19+1), testKey)...), frame.CloseTooBig, "the message is longer than the frame limit",
		},
	}
	for _, tt := range bad {
		t.Run(tt.name, func(t *testing.T) {
			_, err := drainReader(t, 1<<20, tt.bytes)
			var why *frame.CloseError
			if !errors.As(err, &why) || why.Code != tt.code || why.Reason != tt.reason {
				t.Fatalf("got %v, want close %d: %s", err, tt.code, tt.reason)
			}
		})
	}
}

func TestMessageAtTheLimit(t *testing.T) {
	half := make([]byte, 1<<19)
	stream := append(clientFrame(false, frame.Text, half, testKey), clientFrame(true, frame.Continuation, half, testKey)...)
	got, err := drainReader(t, 1<<20, stream)
	if err != nil || len(got) != 1 || len(got[0].Payload) != 1<<20 {
		t.Fatalf("%d messages, error %v", len(got), err)
	}
}

// mixedStream has everything: sizes, empty messages, fragments with control
// frames between them.
func mixedStream() (stream []byte, want []string) {
	add := func(b []byte) { stream = append(stream, b...) }
	add(textFrame("one"))
	add(textFrame(""))
	add(clientFrame(true, frame.Ping, []byte("p1"), testKey))
	add(clientFrame(false, frame.Text, []byte("fr"), testKey))
	add(clientFrame(true, frame.Ping, []byte("p2"), testKey))
	add(clientFrame(false, frame.Continuation, nil, testKey))
	add(clientFrame(true, frame.Pong, []byte("q"), testKey))
	add(clientFrame(true, frame.Continuation, []byte("agments"), testKey))
	long := string(bytes.Repeat([]byte("z"), 300))
	add(textFrame(long))
	add(clientFrame(true, frame.Binary, []byte{0, 1, 2}, [4]byte{}))
	add(clientFrame(true, frame.Close, []byte{3, 0xE8}, testKey))
	return stream, []string{"1:one", "1:", "9:p1", "9:p2", "10:q", "1:fragments", "1:" + long, "2:\x00\x01\x02", "8:\x03\xe8"}
}

func describe(ms []frame.Message) (out []string) {
	for _, m := range ms {
		out = append(out, fmt.Sprintf("%d:%s", m.Opcode, m.Payload))
	}
	return out
}

// TestStreamCutAnywhere: wherever the bytes are cut, the messages are the same.
func TestStreamCutAnywhere(t *testing.T) {
	stream, want := mixedStream()
	for cut := range len(stream) + 1 {
		a, b := bytes.Clone(stream[:cut]), bytes.Clone(stream[cut:])
		got, err := drainReader(t, 1<<20, a, b)
		if err != nil || fmt.Sprint(describe(got)) != fmt.Sprint(want) {
			t.Fatalf("cut at %d: %q, error %v; want %q", cut, describe(got), err, want)
		}
	}
	single := make([][]byte, 0, len(stream))
	for _, b := range stream {
		single = append(single, []byte{b})
	}
	if got, err := drainReader(t, 1<<20, single...); err != nil || fmt.Sprint(describe(got)) != fmt.Sprint(want) {
		t.Fatalf("byte by byte: %q, error %v", describe(got), err)
	}
}

func TestCloseReply(t *testing.T) {
	code := func(n int, reason string) []byte {
		return append(binary.BigEndian.AppendUint16(nil, uint16(n)), reason...)
	}
	for _, tt := range []struct {
		payload []byte
		want    int
	}{
		{nil, frame.CloseNoCode},
		{[]byte{3}, frame.CloseProtocolError},
		{code(1000, ""), 1000},
		{code(1001, "bye"), 1001},
		{code(1003, ""), 1003},
		{code(1004, ""), frame.CloseProtocolError},
		{code(1005, ""), frame.CloseProtocolError},
		{code(1006, ""), frame.CloseProtocolError},
		{code(1007, ""), 1007},
		{code(1014, ""), 1014},
		{code(1015, ""), frame.CloseProtocolError},
		{code(999, ""), frame.CloseProtocolError},
		{code(2999, ""), frame.CloseProtocolError},
		{code(3000, ""), 3000},
		{code(4999, ""), 4999},
		{code(5000, ""), frame.CloseProtocolError},
		{code(0, ""), frame.CloseProtocolError},
		{code(1000, "\xff"), frame.CloseInvalidText},
	} {
		if got := frame.CloseReply(tt.payload).Code; got != tt.want {
			t.Errorf("payload %x: answered with %d, want %d", tt.payload, got, tt.want)
		}
	}
}

func TestAppendCloseCutsItsReason(t *testing.T) {
	got := frame.AppendClose(nil, 1002, string(bytes.Repeat([]byte("r"), 200)))
	if len(got) != 2+125 || got[1] != 125 {
		t.Fatalf("close frame of %d bytes, length byte %d", len(got), got[1])
	}
}

// TestMaskedByTheBook: a client's header and mask are those of the slow way.
func TestMaskedByTheBook(t *testing.T) {
	for _, n := range []int{0, 1, 3, 7, 8, 9, 31, 32, 33, 125, 126, 127, 65535, 65536, 65537} {
		payload := make([]byte, n)
		for i := range payload {
			payload[i] = byte(i * 7)
		}
		got := frame.AppendMaskedHeader([]byte("before "), frame.Text, n, testKey)
		head := len(got)
		got = append(got, payload...)
		frame.Mask(got[head:], testKey)
		if want := append([]byte("before "), clientFrame(true, frame.Text, payload, testKey)...); !bytes.Equal(got, want) {
			t.Errorf("length %d: %.30x, want %.30x", n, got, want)
		}
	}
}

// TestParseFromServer: what a server sends is cut anywhere like what a client sends,
// except that it is not masked.
func TestParseFromServer(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 65537} {
		b := frame.AppendHeader(nil, frame.Text, n)
		for cut := range b {
			if _, err := frame.ParseFromServer(b[:cut], n); !errors.Is(err, frame.ErrIncomplete) {
				t.Errorf("length %d, %d bytes of the header: %v", n, cut, err)
			}
		}
		want := frame.Header{Fin: true, Opcode: frame.Text, Length: n, Size: len(b)}
		if h, err := frame.ParseFromServer(b, n); err != nil || h != want {
			t.Errorf("length %d: %+v, %v; want %+v", n, h, err, want)
		}
		if _, err := frame.ParseFromServer(b, n-1); n > 0 && err == nil || errors.Is(err, frame.ErrIncomplete) {
			t.Errorf("length %d over a limit of %d: %v", n, n-1, err)
		}
	}
	for name, b := range map[string][]byte{
		"close 1002: server frame with a mask":    {0x81, 0x81, 1, 2, 3, 4, 5},
		"close 1002: a reserved bit is set":       {0xC1, 0x01},
		"close 1002: unknown opcode":              {0x83, 0x00},
		"close 1002: fragmented control frame":    {0x09, 0x00},
		"close 1002: the length's top bit is set": {0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0},
	} {
		if _, err := frame.ParseFromServer(b, 100); err == nil || err.Error() != name {
			t.Errorf("%x: %v, want %s", b, err, name)
		}
	}
}

// TestParseClose: a close frame that is at fault has its code read all the same.
func TestParseClose(t *testing.T) {
	for _, tt := range []struct {
		frame  []byte
		code   int
		reason string
	}{
		{frame.AppendControl(nil, frame.Close, nil), frame.CloseNoCode, ""},
		{[]byte{0x88, 1, 3}, frame.CloseNoCode, ""},
		{frame.AppendClose(nil, 1001, "idle"), 1001, "idle"},
		{frame.AppendClose(nil, 5000, "\xff"), 5000, "\xff"},
	} {
		h, err := frame.ParseFromServer(tt.frame, 125)
		if err != nil || h.Opcode != frame.Close || len(tt.frame) != h.Size+h.Length {
			t.Fatalf("%x: %+v, %v", tt.frame, h, err)
		}
		if code, reason := frame.ParseClose(tt.frame[h.Size:]); code != tt.code || string(reason) != tt.reason {
			t.Errorf("%x: %d %q, want %d %q", tt.frame, code, reason, tt.code, tt.reason)
		}
	}
}

// FuzzWebSocket: any bytes, cut anywhere, give the same messages and the same
// end as in one piece, and never more payload than bytes.
func FuzzWebSocket(f *testing.F) {
	stream, _ := mixedStream()
	f.Add(stream, uint64(1))
	f.Add([]byte{0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5}, uint64(2))
	f.Add([]byte{0x01, 0x80, 1, 2, 3, 4, 0x80, 0x80, 1, 2, 3, 4}, uint64(3))
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		whole, wholeErr := drainReader(t, 4096, bytes.Clone(stream))
		rng := rand.New(rand.NewPCG(seed, 0))
		var pieces [][]byte
		for rest := bytes.Clone(stream); len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			pieces = append(pieces, rest[:n:n])
			rest = rest[n:]
		}
		cut, cutErr := drainReader(t, 4096, pieces...)
		if fmt.Sprint(describe(whole)) != fmt.Sprint(describe(cut)) || fmt.Sprint(wholeErr) != fmt.Sprint(cutErr) {
			t.Fatalf("whole: %q %v; in pieces: %q %v", describe(whole), wholeErr, describe(cut), cutErr)
		}
		total := 0
		for _, m := range whole {
			total += len(m.Payload)
		}
		if total > len(stream) {
			t.Fatalf("%d bytes of payload out of %d", total, len(stream))
		}
	})
}
