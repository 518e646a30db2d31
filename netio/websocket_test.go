package netio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// clientFrame builds a masked frame as a client would, by the book and slowly.
func clientFrame(fin bool, opcode byte, payload []byte, key [4]byte) []byte {
	first := opcode
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

func textFrame(s string) []byte { return clientFrame(true, opText, []byte(s), testKey) }

// drainReader takes all messages of stream as they come when it arrives in the
// given pieces. It copies what next returns.
func drainReader(t testing.TB, maxMessage int, pieces ...[]byte) (got []wsMessage, err error) {
	t.Helper()
	r := wsReader{maxMessage: maxMessage}
	var buf []byte
	for _, p := range pieces {
		buf = append(buf, p...)
		for {
			m, size, err := r.next(buf)
			if errors.Is(err, errIncomplete) {
				break
			}
			if err != nil {
				return got, err
			}
			if m.opcode != 0 {
				m.payload = bytes.Clone(m.payload)
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
		f := clientFrame(true, opBinary, plain, testKey)
		h, err := parseHeader(f, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if got := openPayload(f, h); !bytes.Equal(got, plain) {
			t.Fatalf("length %d: got %x, want %x", n, got, plain)
		}
		// A turn that goes back parses the frame once more.
		if got := openPayload(f, h); !bytes.Equal(got, plain) {
			t.Fatalf("length %d: the second time: got %x, want %x", n, got, plain)
		}
	}
}

func TestHeaderLengths(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 127, 65535, 65536, 65537, 1 << 20} {
		payload := bytes.Repeat([]byte{'x'}, n)
		got, err := drainReader(t, 1<<20, clientFrame(true, opText, payload, testKey))
		if err != nil || len(got) != 1 || !bytes.Equal(got[0].payload, payload) {
			t.Errorf("length %d: %d messages, error %v", n, len(got), err)
		}
		// What the server sends is as long as the client reads.
		h := appendHeader(nil, opText, n)
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
		name  string
		bytes []byte
		code  int
	}{
		{"RSV1", []byte{0xC1}, closeProtocolError},
		{"RSV2", []byte{0xA1}, closeProtocolError},
		{"RSV3", []byte{0x91}, closeProtocolError},
		{"reserved data opcode", []byte{0x83}, closeProtocolError},
		{"reserved control opcode", []byte{0x8B}, closeProtocolError},
		{"unmasked", []byte{0x81, 0x01}, closeProtocolError},
		{"fragmented ping", []byte{0x09}, closeProtocolError},
		{"fragmented close", []byte{0x08}, closeProtocolError},
		{"long ping", []byte{0x89, 0x80 | 126}, closeProtocolError},
		{"long close", []byte{0x88, 0x80 | 127}, closeProtocolError},
		{"length with its top bit set", long(0x81, 0xFF, 1<<63), closeProtocolError},
		{"16-bit length below 126", []byte{0x81, 0xFE, 0, 125, 1, 2, 3, 4}, closeProtocolError},
		{"64-bit length below 65536", long(0x81, 0xFF, 65535), closeProtocolError},
		{"message over the limit", long(0x81, 0xFF, 1<<20+1), closeTooBig},
		{"the largest length", long(0x81, 0xFF, 1<<63-1), closeTooBig},
		{"continuation of nothing", clientFrame(true, opContinuation, []byte("x"), testKey), closeProtocolError},
		{"text inside a fragmented text", append(clientFrame(false, opText, []byte("x"), testKey), textFrame("y")...), closeProtocolError},
		{
			"fragments over the limit together",
			append(clientFrame(false, opText, make([]byte, 1<<19), testKey),
				clientFrame(true, opContinuation, make([]byte, 1<<19+1), testKey)...), closeTooBig,
		},
	}
	for _, tt := range bad {
		t.Run(tt.name, func(t *testing.T) {
			_, err := drainReader(t, 1<<20, tt.bytes)
			var why *closeError
			if !errors.As(err, &why) || why.code != tt.code {
				t.Fatalf("got %v, want close %d", err, tt.code)
			}
		})
	}
}

func TestMessageAtTheLimit(t *testing.T) {
	half := make([]byte, 1<<19)
	stream := append(clientFrame(false, opText, half, testKey), clientFrame(true, opContinuation, half, testKey)...)
	got, err := drainReader(t, 1<<20, stream)
	if err != nil || len(got) != 1 || len(got[0].payload) != 1<<20 {
		t.Fatalf("%d messages, error %v", len(got), err)
	}
}

// mixedStream has everything: sizes, empty messages, fragments with control
// frames between them.
func mixedStream() (stream []byte, want []string) {
	add := func(b []byte) { stream = append(stream, b...) }
	add(textFrame("one"))
	add(textFrame(""))
	add(clientFrame(true, opPing, []byte("p1"), testKey))
	add(clientFrame(false, opText, []byte("fr"), testKey))
	add(clientFrame(true, opPing, []byte("p2"), testKey))
	add(clientFrame(false, opContinuation, nil, testKey))
	add(clientFrame(true, opPong, []byte("q"), testKey))
	add(clientFrame(true, opContinuation, []byte("agments"), testKey))
	long := string(bytes.Repeat([]byte("z"), 300))
	add(textFrame(long))
	add(clientFrame(true, opBinary, []byte{0, 1, 2}, [4]byte{}))
	add(clientFrame(true, opClose, []byte{3, 0xE8}, testKey))
	return stream, []string{"1:one", "1:", "9:p1", "9:p2", "10:q", "1:fragments", "1:" + long, "2:\x00\x01\x02", "8:\x03\xe8"}
}

func describe(ms []wsMessage) (out []string) {
	for _, m := range ms {
		out = append(out, fmt.Sprintf("%d:%s", m.opcode, m.payload))
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
		{nil, closeNoCode},
		{[]byte{3}, closeProtocolError},
		{code(1000, ""), 1000},
		{code(1001, "bye"), 1001},
		{code(1003, ""), 1003},
		{code(1004, ""), closeProtocolError},
		{code(1005, ""), closeProtocolError},
		{code(1006, ""), closeProtocolError},
		{code(1007, ""), 1007},
		{code(1014, ""), 1014},
		{code(1015, ""), closeProtocolError},
		{code(999, ""), closeProtocolError},
		{code(2999, ""), closeProtocolError},
		{code(3000, ""), 3000},
		{code(4999, ""), 4999},
		{code(5000, ""), closeProtocolError},
		{code(0, ""), closeProtocolError},
		{code(1000, "\xff"), closeInvalidText},
	} {
		if got := closeReply(tt.payload).code; got != tt.want {
			t.Errorf("payload %x: answered with %d, want %d", tt.payload, got, tt.want)
		}
	}
}

func TestAppendCloseCutsItsReason(t *testing.T) {
	got := appendClose(nil, 1002, string(bytes.Repeat([]byte("r"), 200)))
	if len(got) != 2+125 || got[1] != 125 {
		t.Fatalf("close frame of %d bytes, length byte %d", len(got), got[1])
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
			total += len(m.payload)
		}
		if total > len(stream) {
			t.Fatalf("%d bytes of payload out of %d", total, len(stream))
		}
	})
}
