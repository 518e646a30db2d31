package netio_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// failures waits until handshakes have failed for this reason.
func (s *tlsServer) failures(t testing.TB, reason netio.TLSFailure, want uint64) {
	t.Helper()
	waitFor(t, "a failure that is counted as "+reason.String(), func() bool { return s.Stats().TLS.Failures[reason] >= want })
	if st := s.Stats().TLS; st.Failures[reason] != want {
		t.Errorf("%d failures for %s, want %d", st.Failures[reason], reason, want)
	}
}

// TestTLSRefusals: whom a handshake keeps out, and under which reason that is counted.
func TestTLSRefusals(t *testing.T) {
	other := netiotest.NewCA(t)
	for _, tt := range []struct {
		name   string
		opts   func(ca *netiotest.CA, o *netio.Options)
		client func(s *tlsServer, c *tls.Config)
		reason netio.TLSFailure
		want   string // of the client's error, in part; "": it is let in
	}{
		{"1.2 is let in by default", nil, func(s *tlsServer, c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, 0, ""},
		{"1.1", nil, func(s *tlsServer, c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, netio.TLSVersion, "protocol version"},
		{"1.2 where 1.3 is the least", func(_ *netiotest.CA, o *netio.Options) { o.TLSMin = tls.VersionTLS13 },
			func(s *tlsServer, c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, netio.TLSVersion, "protocol version"},
		{"a cipher suite without authenticated encryption", nil,
			func(s *tlsServer, c *tls.Config) {
				c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
			}, netio.TLSParameters, "handshake failure"},
		{"http/1.1", nil, func(s *tlsServer, c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }, 0, ""},
		{"HTTP/2 only", nil, func(s *tlsServer, c *tls.Config) { c.NextProtos = []string{"h2"} }, netio.TLSParameters, "no application protocol"},
		{"a root that the client does not know", nil, func(s *tlsServer, c *tls.Config) { c.RootCAs = other.Pool }, netio.TLSRejected, "unknown authority"},
		{"a name that the certificate has not", nil, func(s *tlsServer, c *tls.Config) { c.ServerName = "example.com" }, netio.TLSRejected, "not example.com"},
		{"the server's certificate has expired",
			func(ca *netiotest.CA, o *netio.Options) {
				o.TLSCert, o.TLSKey = ca.Server("expired", func(c *x509.Certificate) {
					c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
				})
			}, nil, netio.TLSRejected, "has expired"},

		{"no certificate", wantClients, nil, netio.TLSCertificate, "certificate required"},
		{"a certificate", wantClients, func(s *tlsServer, c *tls.Config) { c.Certificates = []tls.Certificate{s.ca.Client("alice")} }, 0, ""},
		{"a certificate of another CA", wantClients, func(s *tlsServer, c *tls.Config) { show(c, other.Client("alice")) }, netio.TLSCertificate, "unknown certificate authority"},
		{"an expired certificate", wantClients, func(s *tlsServer, c *tls.Config) {
			show(c, s.ca.Client("alice", func(c *x509.Certificate) {
				c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
			}))
		}, netio.TLSCertificate, "expired certificate"},
		{"a certificate for servers", wantClients, func(s *tlsServer, c *tls.Config) {
			show(c, s.ca.Client("alice", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }))
		}, netio.TLSCertificate, "bad certificate"},
		{"no certificate, where it need not be", mayHaveClients, nil, 0, ""},
		{"a certificate of another CA, where none need be", mayHaveClients, func(s *tlsServer, c *tls.Config) { show(c, other.Client("alice")) }, netio.TLSCertificate, "unknown certificate authority"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ca := netiotest.NewCA(t)
			var opts netio.Options
			opts.TLSCert, opts.TLSKey = ca.Server("server")
			if tt.opts != nil {
				tt.opts(ca, &opts)
			}
			s := startTLS(t, opts)
			s.ca = ca
			s.client.RootCAs = ca.Pool
			config := s.client
			if tt.client != nil {
				tt.client(s, config)
			}
			c, err := s.dial(t, config)
			if err == nil { // in 1.3 the client is through before the server is
				_, err = io.WriteString(c, fence+"\n")
			}
			if err == nil {
				_, err = bufio.NewReader(c).ReadString('\n')
			}
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the client's error is %v, want %s", err, tt.want)
			}
			s.failures(t, tt.reason, 1)
		})
	}
}

func wantClients(ca *netiotest.CA, o *netio.Options) { o.TLSClientCA = ca.File }

func mayHaveClients(ca *netiotest.CA, o *netio.Options) {
	o.TLSClientCA, o.TLSClientOptional = ca.File, true
}

// show has a client show a certificate that the server has not asked for.
func show(c *tls.Config, cert tls.Certificate) {
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
}

// TestNotTLS: clients that speak otherwise are told in their own language.
func TestNotTLS(t *testing.T) {
	s := startTLS(t, netio.Options{})
	for i, tt := range []struct{ send, want string }{
		{fence + "\n", `{"SERVER_ERROR":{"s":5,"m":"this address speaks TLS"}}` + "\n"},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n"},
		{"POST / HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("x", 10_000), "HTTP/1.1 400 Bad Request\r\n"},
	} {
		c := dialLines(t, "tcp", s.tcp)
		c.sendRaw(tt.send)
		if got := c.wantEOF(); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%q gets %q", tt.send, got)
		}
		s.failures(t, netio.TLSNotTLS, uint64(i+1))
	}
	c := dialLines(t, "tcp", s.tcp)
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	c.wantEOF()
	s.failures(t, netio.TLSClosed, 1)
}

// TestTLSSilent: a client that says nothing is let go.
func TestTLSSilent(t *testing.T) {
	s := startTLS(t, netio.Options{HandshakeTimeout: 50 * time.Millisecond})
	dialLines(t, "tcp", s.tcp).wantEOF()
	s.failures(t, netio.TLSTimeout, 1)
}

// TestTLSStopWhileShaking: a stop waits for nobody who is shaking hands, and that is no failure of
// theirs.
func TestTLSStopWhileShaking(t *testing.T) {
	s := startTLS(t, netio.Options{StopTimeout: 3 * time.Second}) // less than they have
	hello := netiotest.ClientHello(t, s.client)
	for _, part := range [][]byte{nil, hello[:10], hello[:len(hello)-1], hello} {
		if _, err := dialLines(t, "tcp", s.tcp).Write(part); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "four that shake hands", func() bool { return s.Stats().TLS.Shaking == 4 })
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if f := s.Stats().TLS.Failures; f != [netio.NumTLSFailures]uint64{} {
		t.Errorf("failures %v", f)
	}
}

// TestHalfHandshakes: clients that begin to shake hands and don't go on, more than may shake
// hands at once, keep nobody out for long, and are let go. With -soak 100,000 of them come, and
// what they took is given back.
func TestHalfHandshakes(t *testing.T) {
	const n = 1200
	waves, timeout := 1, 4*time.Second
	if *soakFlag > 0 {
		waves, timeout = 1+100_000/n, time.Second
	}
	const loops = 2
	s, rng := startTLS(t, netio.Options{Loops: loops, HandshakeTimeout: timeout}), rand.New(rand.NewPCG(newSeed(t), 0))
	hello := netiotest.ClientHello(t, s.client)
	files, goroutines := openFiles(t), runtime.NumGoroutine()+loops // a loop's rerunner starts with its first work
	for wave := range waves {
		var halves []net.Conn
		for range n {
			c, err := net.Dial("tcp", s.tcp)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			part := hello
			if wave%2 == 1 {
				part = hello[:1+rng.IntN(len(hello))]
			}
			if _, err := c.Write(part); err != nil {
				t.Fatal(err)
			}
			halves = append(halves, c)
		}
		// On a busy machine it may be let go for those that came after it, and tries again.
		waitFor(t, "a client that is let in", func() bool {
			c, err := s.dial(t, s.client)
			if err == nil {
				_, err = io.WriteString(c, fence+"\n")
			}
			if err == nil {
				_, err = bufio.NewReader(c).ReadString('\n')
			}
			if c != nil {
				_ = c.Close()
			}
			return err == nil
		})
		for _, half := range halves {
			_ = half.SetDeadline(time.Now().Add(patience))
			if _, err := io.Copy(io.Discard, half); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("a half-done handshake is kept")
			}
			_ = half.Close()
		}
		waitFor(t, "the count of those let go", func() bool {
			st := s.Stats().TLS
			return int(st.Failures[netio.TLSTimeout]+st.Failures[netio.TLSBusy]) >= (wave+1)*n && st.Shaking == 0
		})
	}
	waitFor(t, "what they took to be given back", func() bool {
		return openFiles(t) <= files && runtime.NumGoroutine() <= goroutines && s.Stats().Conns == 0
	})
	// Under the race detector the first may be out of time before so many have come.
	if s.Stats().TLS.Failures[netio.TLSBusy] == 0 && !netio.UnderRace {
		t.Error("nobody was let go for others")
	}
}

// TestTLSTurnedAway: over MaxConns a client is told so after a handshake.
func TestTLSTurnedAway(t *testing.T) {
	s := startTLS(t, netio.Options{MaxConns: 1})
	c := s.lines(t, s.client)
	c.send(fence)
	c.recv()
	other := s.lines(t, s.client)
	other.send(fence)
	if got := other.wantEOF(); got != `{"SERVER_ERROR":{"s":5,"m":"too many connections"}}`+"\n" {
		t.Errorf("%q", got)
	}
}
