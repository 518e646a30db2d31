package netio

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"keyframe/codec/http1"
	"keyframe/netio/seal"
)

// This file is TLS: the handshake, which is over before a connection comes to its event
// loop, and the records, which the loop opens and seals. Package seal has both.
//
//	accept ─► a goroutine that shakes hands ─► EnrollContext ─► an event loop
//
//	socket ─► OnTraffic ─► receive ─► seal.Open ─► serve ─► … ─► transmit ─► seal.Seal ─► outbox
//
// What waits is plain on the way in (conn.pending) and sealed on the way out (the outbox),
// so limits and budget count what there is. A record that has come in part waits in
// crypto/tls, which is counted as input.
//
// A client's close_notify is the end of its sending side, as a FIN is without TLS: it gets
// its answers, then ours. A FIN without one ends a connection in the same way: a command is
// executed only if all of it has come, so that nobody who cuts a connection short
// gains by it.

const (
	// tlsTimeout is how long a client may take to shake hands, from the connection on, unless
	// Options.HandshakeTimeout is less.
	tlsTimeout = 5 * time.Second

	// maxShaking is how many clients may be shaking hands at once, from their first byte
	// on, if there is memory for it. The others wait for one of them to come through;
	// they are bounded by Options.MaxConns, and by their tlsTimeout.
	maxShaking = 1024

	// shakingBytes is what each takes meanwhile, about. All of it together is a sixteenth of
	// Options.MaxBufferBytes at most.
	shakingBytes = 30 << 10

	// crowdedPart is the part of that time for which one of these may be silent while others
	// wait for its place.
	crowdedPart = 5

	// firstBytes is how much of a client's first record is read before it counts as one that
	// is shaking hands. Not yet measured.
	firstBytes = 512
)

// shakers is how many handshakes compute at the same time: the event loops have to go on.
func shakers() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// shakingPlaces is how many clients may be shaking hands at once.
func shakingPlaces(opts *Options) int {
	return min(maxShaking, max(1, opts.MaxBufferBytes/16/shakingBytes))
}

// tlsConn is the TLS of a connection. It belongs to the connection's event loop.
type tlsConn struct {
	*seal.Conn
	// peer is who the client's certificate says that it is; "": it has shown none. See
	// peerOf.
	peer string
	// counted is what crypto/tls has for it, as far as that is in conn.held.
	counted int
}

// peer is who the client has proved to be with a certificate, "" if it has not.
func (c *conn) peer() string {
	if c.tls == nil {
		return ""
	}
	return c.tls.peer
}

// peerOf is the name in a verified certificate: the first of its subject's alternative
// names, of e-mail addresses before names of hosts before URIs, or else the common name.
func peerOf(chains [][]*x509.Certificate) string {
	if len(chains) == 0 {
		return ""
	}
	cert := chains[0][0]
	switch {
	case len(cert.EmailAddresses) > 0:
		return cert.EmailAddresses[0]
	case len(cert.DNSNames) > 0:
		return cert.DNSNames[0]
	case len(cert.URIs) > 0:
		return cert.URIs[0].String()
	}
	return cert.Subject.CommonName
}

// tlsServer is what a server keeps for TLS. Its fields may be used from any goroutine.
type tlsServer struct {
	certs  certificates
	places chan struct{} // a token for each client that is shaking hands
	queued atomic.Int64  // clients that wait for a place
	pace   seal.Pace

	handshakes [len(tlsVersions)]atomic.Uint64 // that have come through
	resumed    atomic.Uint64                   // of these, with a ticket
	failures   [NumTLSFailures]atomic.Uint64
	shaking    atomic.Int64 // connections that have not come through yet
}

func (t *tlsServer) stats() (st TLSStats) {
	st.Resumed, st.Shaking = t.resumed.Load(), int(t.shaking.Load())
	for i := range t.handshakes {
		st.Handshakes[i] = t.handshakes[i].Load()
	}
	for i := range t.failures {
		st.Failures[i] = t.failures[i].Load()
	}
	if end := t.certs.end.Load(); end != 0 {
		st.CertificateEnd = time.Unix(end, 0)
	}
	return st
}

func (s *Server) initTLS() error {
	s.tls.places = make(chan struct{}, shakingPlaces(&s.opts))
	s.tls.pace = make(seal.Pace, shakers())
	return s.loadCertificates()
}

// tlsVersions are those that are spoken.
var tlsVersions = [...]struct {
	number uint16
	name   string
}{{tls.VersionTLS12, "1.2"}, {tls.VersionTLS13, "1.3"}}

// TLSFailure says why a TLS connection was not made, or ended.
type TLSFailure uint8

// The reasons. The first ones are of handshakes.
const (
	TLSNotTLS      TLSFailure = iota // the client speaks something else
	TLSVersion                       // it speaks no version that is served
	TLSParameters                    // no cipher suite, curve or application protocol in common
	TLSCertificate                   // its certificate is missing or not good
	TLSRejected                      // it has sent an alert: it does not accept our certificate, for one
	TLSTimeout                       // it took too long
	TLSBusy                          // others took so long that it had no turn
	TLSClosed                        // it closed the connection
	TLSOther                         // anything else
	TLSRecord                        // of an open connection: a record that is false
	TLSTruncated                     // of an open connection: it ended without close_notify

	// NumTLSFailures is the length of an array that is indexed by TLSFailure.
	NumTLSFailures = int(TLSTruncated) + 1
)

var tlsFailureNames = [NumTLSFailures]string{
	TLSNotTLS:      "not_tls",
	TLSVersion:     "version",
	TLSParameters:  "parameters",
	TLSCertificate: "certificate",
	TLSRejected:    "rejected",
	TLSTimeout:     "timeout",
	TLSBusy:        "busy",
	TLSClosed:      "closed",
	TLSOther:       "other",
	TLSRecord:      "record",
	TLSTruncated:   "truncated",
}

// String returns the reason's name in the metrics and in SERVER_INFO.
func (f TLSFailure) String() string {
	if int(f) < NumTLSFailures {
		return tlsFailureNames[f]
	}
	return "unknown"
}

// tlsFailureTexts are what crypto/tls says, which has types for few of its errors.
var tlsFailureTexts = []struct {
	part string
	is   TLSFailure
}{
	{"client offered only unsupported versions", TLSVersion},
	{"no cipher suite supported", TLSParameters},
	{"no key exchanges supported", TLSParameters},
	{"no ECDHE curve supported", TLSParameters},
	{"unsupported application protocols", TLSParameters},
	{"client certificate", TLSCertificate},
	{"didn't provide a certificate", TLSCertificate},
}

// tlsFailureOf is the reason for an error of a handshake.
func tlsFailureOf(err error) TLSFailure {
	var header tls.RecordHeaderError
	var verification *tls.CertificateVerificationError
	var op *net.OpError
	switch {
	case errors.As(err, &header):
		return TLSNotTLS
	case errors.As(err, &verification):
		return TLSCertificate
	case errors.As(err, &op) && op.Op == "remote error":
		return TLSRejected
	case errors.Is(err, os.ErrDeadlineExceeded):
		return TLSTimeout
	case errors.Is(err, errCrowdedOut):
		return TLSBusy
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.As(err, &op):
		return TLSClosed
	}
	for _, row := range tlsFailureTexts {
		if strings.Contains(err.Error(), row.part) {
			return row.is
		}
	}
	return TLSOther
}

func (s *Server) countTLSFailure(f TLSFailure) { s.tls.failures[f].Add(1) }

var errCrowdedOut = errors.New("netio: too many clients are shaking hands")

// shakeHands has a client shake hands, and gives it to an event loop. It waits, for at most
// tlsTimeout, or until the server stops.
func (s *Server) shakeHands(nc net.Conn) {
	s.tls.shaking.Add(1)
	defer s.tls.shaking.Add(-1)
	remote := nc.RemoteAddr()
	t, err := s.secure(nc)
	if err == nil {
		if err = s.enroll(nc, &conn{remote: remote, tls: t}); err != nil {
			s.log.Error("a client is lost", "remote", remote, "error", err)
		}
		return
	}
	if s.stopping.Err() == nil {
		f := tlsFailureOf(err)
		s.countTLSFailure(f)
		s.log.Debug("TLS handshake failed", "remote", remote, "reason", f.String(), "error", err)
	}
	s.endHandshake(nc, err)
	s.counters.conns.Add(-1)
}

// secure shakes hands with a client.
func (s *Server) secure(nc net.Conn) (*tlsConn, error) {
	timeout := s.shakingTime()
	p := &patient{Conn: nc, srv: s, until: time.Now().Add(timeout), crowded: timeout / crowdedPart}
	defer s.hurryAtStop(nc)()
	_ = nc.SetDeadline(p.until)
	if err := p.readFirst(); err != nil {
		return nil, err
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	c := seal.Server(p, s.tls.certs.current.Load(), s.tls.pace)
	if err := c.Handshake(); err != nil {
		return nil, err
	}
	state := c.State()
	for i, v := range tlsVersions {
		if v.number == state.Version {
			s.tls.handshakes[i].Add(1)
		}
	}
	if state.DidResume {
		s.tls.resumed.Add(1)
	}
	c.Detach()
	return &tlsConn{Conn: c, peer: peerOf(state.VerifiedChains)}, nil
}

// hurryAtStop has a stop end what waits for a client, until the func that it returns is called.
func (s *Server) hurryAtStop(nc net.Conn) (end func() bool) {
	return context.AfterFunc(s.stopping, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
}

// shakingTime is how long a client may take to shake hands.
func (s *Server) shakingTime() time.Duration { return min(tlsTimeout, s.live.Load().HandshakeTimeout) }

// waiting is a connection that is told something without an event loop.
func (s *Server) waiting(nc net.Conn, secure bool) net.Conn {
	if !secure {
		return nc
	}
	return seal.Server(nc, s.tls.certs.current.Load(), s.tls.pace).Waiting()
}

// endHandshake closes a connection whose handshake has failed. A client that has sent
// something else than TLS is told in its own language, and all have the time to read what
// was sent: closing with input unread would reset the connection.
func (s *Server) endHandshake(nc net.Conn, err error) {
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(time.Second))
	var header tls.RecordHeaderError
	if errors.As(err, &header) && header.Conn != nil {
		_, _ = nc.Write(notTLS(header.RecordHeader[:]))
	}
	half, ok := nc.(interface{ CloseWrite() error })
	if !ok || s.stopping.Err() != nil || errors.Is(err, io.EOF) {
		return
	}
	defer s.hurryAtStop(nc)()
	_ = half.CloseWrite() // it may have gone
	_, _ = io.CopyN(io.Discard, nc, http1.MaxHeadBytes)
}

// notTLS is the answer to a client that begins otherwise.
func notTLS(first []byte) []byte {
	const reason = "this address speaks TLS"
	if looksLikeHTTP(first) != differs {
		return httpError(400, reason+": https and wss, not http and ws")
	}
	return refusalLine(refusedSyntax, reason)
}

// patient is a client's connection while it shakes hands. Who shakes hands has a place;
// it loses it when it is silent and others wait.
type patient struct {
	net.Conn
	srv     *Server
	until   time.Time
	crowded time.Duration // how long it may be silent while others wait
	first   []byte        // what was read before there was a place
}

// readFirst reads the first bytes: a client that says nothing takes no place.
func (p *patient) readFirst() error {
	b := make([]byte, firstBytes)
	n, err := p.Conn.Read(b)
	p.first = b[:n]
	return err
}

// enter waits for a place.
func (p *patient) enter() error {
	select {
	case p.srv.tls.places <- struct{}{}:
		return nil
	default:
	}
	p.srv.tls.queued.Add(1)
	defer p.srv.tls.queued.Add(-1)
	timeout := time.NewTimer(time.Until(p.until))
	defer timeout.Stop()
	select {
	case p.srv.tls.places <- struct{}{}:
		return nil
	case <-timeout.C:
		return errCrowdedOut
	case <-p.srv.stopping.Done():
		return net.ErrClosed
	}
}

func (p *patient) leave() { <-p.srv.tls.places }

// Read reads what was read first, then from the connection. It waits in steps, and
// gives up after one if somebody waits for the place.
func (p *patient) Read(b []byte) (int, error) {
	if len(p.first) > 0 {
		n := copy(b, p.first)
		if p.first = p.first[n:]; len(p.first) == 0 {
			p.first = nil
		}
		return n, nil
	}
	for {
		step := time.Now().Add(p.crowded)
		last := step.After(p.until)
		if last {
			step = p.until
		}
		if err := p.SetReadDeadline(step); err != nil {
			return 0, err
		}
		if p.srv.stopping.Err() != nil { // else a stop changes the deadline after us
			return 0, net.ErrClosed
		}
		n, err := p.Conn.Read(b)
		switch {
		case n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || last:
			return n, err
		case p.srv.tls.queued.Load() > 0:
			return 0, errCrowdedOut
		}
	}
}

// scratch for what a loop opens and seals is kept up to this.
const maxKeptSealed = maxKeptOutput

// openLeft opens what has come with the last bytes of a handshake. It runs when the
// connection is known to gnet, since it may end it.
func (l *loop) openLeft(c *conn) {
	l.execute(func() { l.receive(c, nil) })
}

// receive opens what has arrived of a TLS connection, and serves it.
func (l *loop) receive(c *conn, in []byte) {
	if c.phase != phaseOpen || c.detached {
		return
	}
	c.active = c.active || len(in) > 0
	plain, answer, err := c.tls.Open(l.opened[:0], in, l.sealed[:0])
	l.opened, l.sealed = plain[:0], answer[:0]
	if len(answer) > 0 {
		if err := c.out.send(answer); err != nil {
			l.fail(c, err)
			return
		}
	}
	// crypto/tls has taken it before we know; the budget has a part for that of one connection.
	if n := c.tls.Held() - c.tls.counted; n > 0 {
		if !l.reserve(c, usage{input: n}) {
			l.fail(c, errBuffersFull) // crypto/tls gives it back with the connection only
			return
		}
		c.tls.counted += n
	}
	switch {
	case err == nil && len(plain) > 0:
		l.serve(c, plain)
	case err == nil:
		l.account(c)
	case err == io.EOF:
		c.detached = true // but the client's socket may be open, and gnet watch it
		l.serve(c, plain)
	default:
		// Of what came before, nothing more is executed or answered: crypto/tls seals nothing
		// after its alert.
		l.srv.countTLSFailure(TLSRecord)
		l.srv.log.Debug("a TLS connection ends", "remote", c.remote, "error", err)
		c.commit.forget()
		l.linger(c)
		if err := l.transmit(c, nil); err != nil {
			l.fail(c, err)
			return
		}
		l.account(c)
	}
	mangle(plain)
}

// seal seals output, and with the last of it says that it is the last. The result is the
// loop's, until the next call.
func (l *loop) seal(c *conn, out []byte) (sealed []byte, err error) {
	sealed = l.sealed[:0]
	if len(out) > 0 {
		if sealed, err = c.tls.Seal(sealed, out); err != nil {
			return nil, err
		}
	}
	if c.phase == phaseLinger {
		sealed = c.tls.Close(sealed)
	}
	if l.sealed = sealed[:0]; cap(sealed) > maxKeptSealed {
		l.sealed = nil
	}
	return sealed, nil
}
