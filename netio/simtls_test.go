package netio

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"

	"keyframe/netio/seal"
)

// This file is TLS in the simulation. Ends shake hands before the simulation has them: what they
// agree on differs from run to run, and so do the bytes of records, but not how many there are,
// which is all that anything depends on. From then on the records are part of the simulation, cut
// anywhere, in both directions.

// simTLS is the client's end.
type simTLS struct {
	end     *seal.Conn
	wire    int       // how many bytes of records have been delivered
	sent    int       // how many have been sent
	marks   []simMark // of the records whose end has not been delivered
	isFalse bool      // one was changed on its way

	opened   []byte
	hasEnded bool // the server has said that nothing more comes
	alerted  bool // or that a record was false
}

// simMark is where a record ends, in bytes of records and in those of its client.
type simMark struct{ wire, plain int }

// tlsConfigs are those of two ends: all of a run have the same.
type tlsConfigs struct{ server, client *tls.Config }

func newTLSConfigs(t testing.TB) *tlsConfigs {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tlsConfigs{
		server: &tls.Config{
			Certificates:           []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}},
			SessionTicketsDisabled: true, DynamicRecordSizingDisabled: true, CurvePreferences: []tls.CurveID{tls.X25519},
		},
		client: &tls.Config{InsecureSkipVerify: true, DynamicRecordSizingDisabled: true},
	}
}

// shakenHands returns two ends that have, up to a version.
func (tt *tlsConfigs) shakenHands(t testing.TB, version uint16) (server, client *seal.Conn) {
	t.Helper()
	config := tt.client.Clone()
	config.MaxVersion = version
	near, far := net.Pipe()
	server, client = seal.Server(near, tt.server, nil), seal.Client(far, config)
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), <-done); err != nil {
		t.Fatalf("a handshake: %v", err)
	}
	server.Detach()
	client.Detach()
	return server, client
}

// secure gives a client TLS, and the server's connection the other end.
func (s *sim) secure(c *simClient) {
	if s.spare.tls == nil {
		s.spare.tls = newTLSConfigs(s.t)
	}
	server, client := s.spare.tls.shakenHands(s.t, tls.VersionTLS12+uint16(s.rng.IntN(2)))
	c.tls = &simTLS{end: client}
	c.conn.tls = &tlsConn{Conn: server}
	s.reach("a connection over TLS")
}

// push sends b in records, of which the last byte is counted as c.sent.
func (t *simTLS) push(c *simClient, b []byte) {
	for at := c.sent - len(b); len(b) > 0; {
		n := min(len(b), 1+c.s.rng.IntN(16<<10)) // a record at most
		sealed, err := t.end.Seal(c.s.sealed[:0], b[:n])
		if err != nil {
			c.s.fatalf("client %d: it can't seal: %v", c.id, err)
		}
		if size := 5 + int(binary.BigEndian.Uint16(sealed[3:])); size != len(sealed) {
			c.s.fatalf("client %d: %d bytes are not one record", c.id, len(sealed))
		}
		c.s.sealed = sealed
		at, b = at+n, b[n:]
		t.put(c, sealed, at)
	}
}

// put sends a record, with which a client's bytes up to at have been sent.
func (t *simTLS) put(c *simClient, sealed []byte, at int) {
	c.out.put(sealed)
	t.sent += len(sealed)
	if !t.isFalse {
		t.marks = append(t.marks, simMark{t.sent, at})
	}
}

// arrived is how many more of the client's bytes have come whole with n more bytes of records.
func (t *simTLS) arrived(delivered, n int) int {
	t.wire += n
	last := delivered
	for len(t.marks) > 0 && t.marks[0].wire <= t.wire {
		last, t.marks = t.marks[0].plain, t.marks[1:]
	}
	return last - delivered
}

// close says that the client sends no more.
func (t *simTLS) close(c *simClient) {
	c.s.sealed = t.end.Close(c.s.sealed[:0])
	t.put(c, c.s.sealed, c.sent)
	c.halved = true
	c.s.reach("a client says in TLS that it sends no more")
}

// falsify sends a record that was changed on its way: no byte of it may be executed, nor what comes
// after it.
func (t *simTLS) falsify(c *simClient) {
	sealed, err := t.end.Seal(c.s.sealed[:0], []byte(`{"CLEAR":{}}`+"\n"))
	if err != nil {
		c.s.fatalf("client %d: it can't seal: %v", c.id, err)
	}
	c.s.sealed = sealed
	sealed[5+c.s.rng.IntN(len(sealed)-5)] ^= 1 << c.s.rng.IntN(8)
	t.isFalse, c.ending = true, true
	t.put(c, sealed, 0)
}

// open opens what the server has sent.
func (t *simTLS) open(c *simClient, sealed []byte) []byte {
	if t.hasEnded && len(sealed) > 0 {
		c.s.fatalf("client %d: %d bytes come after the end of TLS", c.id, len(sealed))
	}
	plain, answer, err := t.end.Open(t.opened[:0], sealed, nil)
	t.opened = plain[:0]
	switch {
	case err == io.EOF:
		t.hasEnded = true
	case err != nil:
		if !t.isFalse || c.excused == "" {
			c.s.fatalf("client %d: it opens %q: %v", c.id, plain, err)
		}
		t.alerted = true
	case len(answer) > 0:
		c.s.fatalf("client %d: TLS answers %x", c.id, answer)
	}
	return plain
}

const falseRecord = "a record that is false"

// receive is what a loop does with bytes that have come.
func (s *sim) receive(c *simClient, in []byte) {
	if c.tls == nil {
		c.conn.loop.serve(c.conn, in)
		return
	}
	failures := &s.srv.tls.failures[TLSRecord]
	before, phase := failures.Load(), c.conn.phase
	c.conn.loop.receive(c.conn, in)
	if failures.Load() > before {
		if !c.tls.isFalse || phase != phaseOpen {
			s.fatalf("client %d: a record is taken for a false one, in phase %d", c.id, phase)
		}
		c.excuse(falseRecord)
	}
}
