package seal_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"keyframe/netio/netiotest"
	"keyframe/netio/seal"
)

var seed = flag.Uint64("seed", uint64(time.Now().UnixNano()), "of random tests")

func newRand(t testing.TB) *rand.Rand {
	t.Logf("-seed=%d", *seed)
	return rand.New(rand.NewPCG(*seed, 1))
}

// pair is the two ends of a connection, which have shaken hands and been detached.
type pair struct{ server, client *seal.Conn }

func configs(t testing.TB, version uint16) (server, client *tls.Config) {
	ca := netiotest.NewCA(t)
	cert, err := tls.LoadX509KeyPair(ca.Server("server"))
	if err != nil {
		t.Fatal(err)
	}
	server = &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version, DynamicRecordSizingDisabled: true}
	return server, &tls.Config{RootCAs: ca.Pool, ServerName: "localhost"}
}

func newPair(t testing.TB, version uint16) *pair {
	t.Helper()
	server, client := configs(t, version)
	p := newPairOf(t, server, client)
	if got := p.server.State().Version; got != version {
		t.Fatalf("version %x", got)
	}
	return p
}

func newPairOf(t testing.TB, server, client *tls.Config) *pair {
	t.Helper()
	return newPairWith(t, server, client, make(seal.Pace, 1))
}

func newPairWith(t testing.TB, server, client *tls.Config, pace seal.Pace) *pair {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	far, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	near, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []net.Conn{near, far} {
		_ = end.SetDeadline(time.Now().Add(time.Minute)) // no test takes that long
	}
	p := &pair{seal.Server(near, server, pace), seal.Client(far, client)}
	done := make(chan error, 1)
	go func() { done <- p.server.Handshake() }()
	if err := errors.Join(p.client.Handshake(), <-done); err != nil {
		t.Fatal(err)
	}
	// A ticket is still on its way to the client.
	_ = near.Close()
	ticket, err := io.ReadAll(far)
	if err != nil {
		t.Fatal(err)
	}
	p.server.Detach()
	p.client.Detach()
	if plain, answer, err := p.client.Open(nil, ticket, nil); len(plain)+len(answer) > 0 || err != nil {
		t.Fatalf("a ticket: %q, %q, %v", plain, answer, err)
	}
	return p
}

// eachVersion runs a test with a pair that speaks TLS 1.2, and one that speaks 1.3.
func eachVersion(t *testing.T, test func(t *testing.T, p *pair)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) { test(t, newPair(t, version)) })
	}
}

func (p *pair) seal(t testing.TB, plain []byte) []byte {
	t.Helper()
	sealed, err := p.client.Seal(nil, plain)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// TestCuts: what is sealed is what is opened, in both directions, however it is cut.
func TestCuts(t *testing.T) {
	rng := newRand(t)
	cut := map[string]func() int{
		"one byte": func() int { return 1 },
		"7 bytes":  func() int { return 7 },
		"a record": func() int { return 16<<10 + 22 },
		"random":   func() int { return 1 + rng.IntN(1<<rng.IntN(17)) },
		"whole":    func() int { return 1 << 30 },
	}
	eachVersion(t, func(t *testing.T, p *pair) {
		for name, piece := range cut {
			for _, ends := range [][2]*seal.Conn{{p.client, p.server}, {p.server, p.client}} {
				var want, sealed []byte
				for _, size := range []int{1, 2, 100, 16<<10 - 1, 16 << 10, 16<<10 + 1, 100_000, 3, rng.IntN(50_000)} {
					plain := make([]byte, size)
					for i := range plain {
						plain[i] = byte(rng.Uint32())
					}
					want = append(want, plain...)
					var err error
					if sealed, err = ends[0].Seal(sealed, plain); err != nil {
						t.Fatal(err)
					}
				}
				var got, answer, lent []byte
				for len(sealed) > 0 {
					n, before := min(piece(), len(sealed)), len(got)
					lent = append(lent[:0], sealed[:n]...)
					var err error
					if got, answer, err = ends[1].Open(got, lent, answer); err != nil || len(answer) > 0 {
						t.Fatalf("%s: after %d bytes: %v, answer %x", name, len(got), err, answer)
					}
					for i := range lent {
						lent[i] = 0xCC
					}
					if !bytes.HasPrefix(want[before:], got[before:]) {
						t.Fatalf("%s: the %d bytes opened are not those that were sealed", name, len(got))
					}
					sealed = sealed[n:]
				}
				if len(got) != len(want) {
					t.Errorf("%s: %d bytes of %d", name, len(got), len(want))
				}
			}
		}
	})
}

// TestFalseRecords: a byte that was changed, left out or sent twice is noticed, nothing of
// that record or of those after it is opened, and the other end is told.
func TestFalseRecords(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		records := [][]byte{[]byte("the first"), []byte("the second"), []byte("the third")}
		type fault struct {
			name   string
			change func(sealed [][]byte) []byte
			opened int // how many records may be opened
		}
		whole := func(sealed [][]byte) []byte { return bytes.Join(sealed, nil) }
		faults := []fault{
			{"replayed", func(s [][]byte) []byte { return whole([][]byte{s[0], s[0], s[1], s[2]}) }, 1},
			{"left out", func(s [][]byte) []byte { return whole([][]byte{s[0], s[2]}) }, 1},
			{"swapped", func(s [][]byte) []byte { return whole([][]byte{s[1], s[0], s[2]}) }, 0},
			{"plain text", func(s [][]byte) []byte { return append(s[0], "{\"CLEAR\":{}}\n"...) }, 1},
			{"an alert that is not sealed", func(s [][]byte) []byte { return append(s[0], 21, 3, 3, 0, 2, 1, 0) }, 1},
		}
		size := len(newPair(t, version).seal(t, records[1]))
		for at := range size {
			faults = append(faults, fault{fmt.Sprintf("byte %d flipped", at), func(s [][]byte) []byte {
				s[1][at] ^= 0x10
				return whole(s)
			}, 1})
		}
		server, client := configs(t, version)
		for _, tt := range faults {
			p := newPairOf(t, server, client)
			var sealed [][]byte
			for _, r := range records {
				sealed = append(sealed, p.seal(t, r))
			}
			want := whole(records[:tt.opened])
			plain, answer, err := p.server.Open(nil, tt.change(sealed), nil)
			if !bytes.Equal(plain, want) {
				t.Errorf("%x, %s: opened %q, want %q", version, tt.name, plain, want)
			}
			if err == nil && len(answer) == 0 {
				// The length may say that more is to come. Nothing that comes makes it right.
				plain, answer, err = p.server.Open(nil, make([]byte, 20<<10), nil)
			}
			if err == nil || err == io.EOF || len(answer) == 0 || len(plain) > len(want) {
				t.Errorf("%x, %s: %q, answer %x, %v", version, tt.name, plain, answer, err)
			}
			if end := p.server.Close(nil); len(end) > 0 {
				t.Errorf("%x, %s: close_notify after an alert: %x", version, tt.name, end)
			}
			if _, err := p.server.Seal(nil, []byte("x")); err == nil {
				t.Errorf("%x, %s: it seals on", version, tt.name)
			}
		}
	}
}

// TestClose: close_notify ends one direction only, and comes after what was sealed before.
func TestClose(t *testing.T) {
	eachVersion(t, func(t *testing.T, p *pair) {
		sealed := p.client.Close(p.seal(t, []byte("last")))
		for at := range len(sealed) - 1 {
			if plain, answer, err := p.server.Open(nil, sealed[at:at+1], nil); err != nil || len(answer) > 0 || len(plain) > 4 {
				t.Fatalf("byte %d: %q, %x, %v", at, plain, answer, err)
			}
		}
		if _, _, err := p.server.Open(nil, sealed[len(sealed)-1:], nil); err != io.EOF {
			t.Fatalf("after close_notify: %v", err)
		}
		if again := p.client.Close(nil); len(again) > 0 {
			t.Errorf("it says twice that it ends: %x", again)
		}
		sealed, err := p.server.Seal(nil, []byte("the answer"))
		if err != nil {
			t.Fatal(err)
		}
		plain, _, err := p.client.Open(nil, p.server.Close(sealed), nil)
		if string(plain) != "the answer" || err != io.EOF {
			t.Errorf("%q, %v", plain, err)
		}
	})
}

// TestPace: a handshake whose client says nothing, or reads nothing, keeps no other from going
// on, and none has a token when it has ended.
func TestPace(t *testing.T) {
	server, client := configs(t, tls.VersionTLS13)
	pace := make(seal.Pace, 1)
	stuck := make(chan error, 2)
	var far [2]net.Conn
	for i, first := range [][]byte{{22, 3, 1}, netiotest.ClientHello(t, client)} {
		var near net.Conn
		near, far[i] = net.Pipe()
		go func() { stuck <- seal.Server(near, server, pace).Handshake() }()
		if _, err := far[i].Write(first); err != nil { // it computes once now, and waits again
			t.Fatal(err)
		}
	}
	newPairWith(t, server, client, pace)
	for i := range far {
		_ = far[i].Close()
		if err := <-stuck; err == nil {
			t.Error("one that was stuck has shaken hands")
		}
	}

	near, other := net.Pipe()
	waiting := seal.Server(near, server, pace).Waiting()
	go func() {
		_ = tls.Client(other, client).Handshake()
		_, _ = io.Copy(io.Discard, other)
	}()
	if err := waiting.(*tls.Conn).Handshake(); err != nil || len(pace) != 1 {
		t.Fatalf("%v, %d tokens are taken", err, len(pace))
	}
	_ = waiting.Close()
	if len(pace) > 0 {
		t.Error("a token is lost")
	}
}

// TestHeld: however records are cut, and whatever their sizes, what crypto/tls keeps room for
// is within MaxHeld.
func TestHeld(t *testing.T) {
	rng := newRand(t)
	eachVersion(t, func(t *testing.T, p *pair) {
		most := 0
		for range 300 {
			sealed, _ := p.client.Seal(nil, make([]byte, 1+rng.IntN(1<<rng.IntN(18))))
			for len(sealed) > 0 {
				n := min(len(sealed), 1+rng.IntN(1<<rng.IntN(17)))
				_, _, err := p.server.Open(nil, sealed[:n], nil)
				if err != nil {
					t.Fatal(err)
				}
				sealed = sealed[n:]
				held := p.server.Held()
				if held < most { // its buffer does not shrink
					t.Fatalf("it holds %d bytes, and has held %d", held, most)
				}
				most = held
			}
		}
		if most > seal.MaxHeld || most < seal.MaxHeld/4 {
			t.Errorf("it holds up to %d bytes, want %d", most, seal.MaxHeld)
		}
	})
}
