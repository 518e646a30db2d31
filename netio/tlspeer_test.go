package netio_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"testing"

	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// TestPeer: a connection knows the name in the certificate that its client has shown, also
// when the client goes on with a session of before.
func TestPeer(t *testing.T) {
	ca := netiotest.NewCA(t)
	uri, err := url.Parse("spiffe://example.com/dora")
	if err != nil {
		t.Fatal(err)
	}
	cert, key := ca.Server("server")
	s := startTLS(t, netio.Options{Loops: 1, TLSCert: cert, TLSKey: key, TLSClientCA: ca.File, TLSClientOptional: true})
	for _, tt := range []struct {
		want string
		edit func(*x509.Certificate)
	}{
		{"alice", func(c *x509.Certificate) {}},
		{"bob.example.com", func(c *x509.Certificate) { c.DNSNames = []string{"bob.example.com", "b.example.com"} }},
		{"carol@example.com", func(c *x509.Certificate) {
			c.DNSNames, c.EmailAddresses = []string{"carol.example.com"}, []string{"carol@example.com"}
		}},
		{"spiffe://example.com/dora", func(c *x509.Certificate) { c.URIs = []*url.URL{uri} }},
		{"", nil},
	} {
		config := &tls.Config{RootCAs: ca.Pool, ServerName: "localhost", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		if tt.edit != nil {
			config.Certificates = []tls.Certificate{ca.Client("alice", tt.edit)}
		}
		for _, resumed := range []bool{false, true} {
			c, err := tls.Dial("tcp", s.tcp, config)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write([]byte(`{"COUNT":{}}` + "\n")); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			if got := c.ConnectionState().DidResume; got != resumed {
				t.Errorf("resumed: %v", got)
			}
			if got := s.Peers(); len(got) != 1 || got[0] != tt.want {
				t.Errorf("it is %q, want %q", got, tt.want)
			}
			_ = c.Close()
			waitFor(t, "the connection's end", func() bool { return len(s.Peers()) == 0 })
		}
	}
}
