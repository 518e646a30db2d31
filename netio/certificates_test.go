package netio_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"keyframe/engine"
	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// TestTLSTickets: a client that has been here goes on with its session, until the
// certificates are others.
func TestTLSTickets(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := startTLS(t, netio.Options{})
		s.client.MaxVersion = version
		s.client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		resumed := func() bool {
			c := s.lines(t, s.client)
			c.send(fence)
			c.recv() // a ticket has come before it
			return c.Conn.(*tls.Conn).ConnectionState().DidResume
		}
		for want := range uint64(2) {
			if resumed() != (want == 1) || s.Stats().TLS.Resumed != want {
				t.Errorf("%x: resumed %d, want %d", version, s.Stats().TLS.Resumed, want)
			}
		}
		s.ca.Server("server")
		if changed, err := s.ReloadCertificates(); !changed || err != nil {
			t.Fatal(changed, err)
		}
		if resumed() {
			t.Errorf("%x: an old session is good for a new certificate", version)
		}
	}
}

// TestTLSReload: certificates are replaced while clients come and go. Those that are there
// stay, those that come get the new one, and files that don't fit change nothing.
func TestTLSReload(t *testing.T) {
	ca := netiotest.NewCA(t)
	cert, key := ca.Server("server")
	s := startTLS(t, netio.Options{TLSCert: cert, TLSKey: key, TLSClientCA: ca.File})
	client := ca.Client("alice")
	s.client.RootCAs, s.client.Certificates = ca.Pool, []tls.Certificate{client}
	stop := make(chan struct{})
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() {
			lasting := s.lines(t, s.client)
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				lasting.send(fmt.Sprintf(`{"SET":{"lasting-%d":%d}}`, i, n))
				lasting.recv()
				c, err := tls.Dial("tcp", s.tcp, s.client)
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				if _, err = io.WriteString(c, fence+"\n"); err == nil {
					_, err = bufio.NewReader(c).ReadString('\n')
				}
				if err != nil {
					t.Error(err)
				}
				_ = c.Close()
			}
		})
	}
	serial := func() string {
		return s.lines(t, s.client).Conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	for range 10 {
		before := serial()
		ca.Server("server")
		if changed, err := s.ReloadCertificates(); !changed || err != nil {
			t.Fatal(changed, err)
		}
		if serial() == before {
			t.Error("the old certificate is shown")
		}
		if changed, err := s.ReloadCertificates(); changed || err != nil {
			t.Errorf("the same files again: %v, %v", changed, err)
		}
	}
	for _, broken := range []string{"", "nonsense"} {
		before := serial()
		if err := os.WriteFile(cert, []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		var fault *netio.OptionError
		if changed, err := s.ReloadCertificates(); changed || !errors.As(err, &fault) || fault.Field != "TLSCert" {
			t.Errorf("a broken file: %v, %v", changed, err)
		}
		if serial() != before {
			t.Error("a broken file has changed the certificate")
		}
	}
	close(stop)
	work.Wait()

	// The watch finds the next change by itself.
	before := serial()
	ca.Server("server")
	waitFor(t, "a new certificate", func() bool { return serial() != before })

	// Clients of a CA that is removed get in no more, even with a ticket.
	other := netiotest.NewCA(t)
	text, err := os.ReadFile(other.File)
	if err == nil {
		err = os.WriteFile(ca.File, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := s.ReloadCertificates(); !changed || err != nil {
		t.Fatal(changed, err)
	}
	c, err := s.dial(t, s.client)
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("a client of a removed CA: %v", err)
	}
}

// TestCertificatesNews: each fault of the files is news once, until they are right or at fault in
// another way, and changes nothing.
func TestCertificatesNews(t *testing.T) {
	ca := netiotest.NewCA(t)
	var log bytes.Buffer
	opts := netio.Options{Listen: []string{"tls://127.0.0.1:0"}, TLSClientCA: ca.File, Logger: slog.New(slog.NewTextHandler(&log, nil))}
	opts.TLSCert, opts.TLSKey = ca.Server("server")
	e, err := engine.New(engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	s, err := netio.New(e, opts)
	if err != nil {
		t.Fatal(err)
	}
	good := make(map[string][]byte)
	read := func() {
		for _, path := range []string{opts.TLSCert, opts.TLSKey, opts.TLSClientCA} {
			if good[path], err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	read()
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, changed, news, fails bool) {
		t.Helper()
		end := s.Stats().TLS.CertificateEnd
		gotChanged, gotNews, err := s.ReloadNews()
		if gotChanged != changed || gotNews != news || (err != nil) != fails {
			t.Errorf("%s: changed %v, news %v, %v", what, gotChanged, gotNews, err)
		}
		if !changed && s.Stats().TLS.CertificateEnd != end {
			t.Errorf("%s: the certificate is another", what)
		}
	}
	restore := func() {
		for path, text := range good {
			write(path, string(text))
		}
	}
	want("the same files", false, false, false)
	for round := range 2 { // what was right in between makes a fault news
		write(opts.TLSCert, "nonsense")
		want("nonsense", false, true, true)
		want("nonsense, again", false, false, true)
		write(opts.TLSCert, "other nonsense")
		want("other nonsense", false, true, true)
		if err := os.Remove(opts.TLSCert); err != nil {
			t.Fatal(err)
		}
		want("no file", false, true, true)
		want("no file, again", false, false, true)
		write(opts.TLSCert, "nonsense")
		want("nonsense after no file", false, true, true)
		if restore(); round == 0 {
			want("right again", false, false, false)
		}
	}
	until := time.Now().Add(-time.Hour).Truncate(time.Second)
	ca.Server("server", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = until.Add(-time.Hour), until })
	want("an expired certificate", true, false, false)
	if got := s.Stats().TLS.CertificateEnd; !got.Equal(until) {
		t.Errorf("it ends at %v, want %v", got, until)
	}
	const invalid = "the certificate is not valid now"
	if n := strings.Count(log.String(), invalid); n != 1 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
	ca.Server("server", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	})
	want("a certificate of tomorrow", true, false, false)
	if n := strings.Count(log.String(), invalid); n != 2 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
	ca.Server("server")
	want("a good certificate", true, false, false)
	if n := strings.Count(log.String(), invalid); n != 2 {
		t.Errorf("%d warnings: %s", n, log.String())
	}
	read()
	write(opts.TLSCert, "nonsense")
	want("nonsense after a change", false, true, true)
	restore()
	want("right after that", false, false, false)
	write(opts.TLSClientCA, "")
	want("no roots", false, true, true)
	restore()
	for _, mode := range []os.FileMode{0o600, 0o640, 0o604} {
		if err := os.Chmod(opts.TLSKey, mode); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		if _, err := netio.New(e, opts); err != nil {
			t.Fatal(err)
		}
		if warns := strings.Contains(log.String(), "anybody on this machine"); warns != (mode&7 != 0) {
			t.Errorf("mode %o: %s", mode, log.String())
		}
	}
}
