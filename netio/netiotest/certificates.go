package netiotest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// CA signs certificates for a test. Its own is in a file.
type CA struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string

	File string         // its certificate
	Pool *x509.CertPool // with that only
}

// NewCA returns a CA of its own.
func NewCA(tb testing.TB) *CA {
	tb.Helper()
	a := &CA{tb: tb, dir: tb.TempDir(), Pool: x509.NewCertPool()}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "a test's CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = a.sign(template, template, nil)
	a.File = filepath.Join(a.dir, "ca.pem")
	a.write(a.File, "CERTIFICATE", a.cert.Raw)
	a.Pool.AddCert(a.cert)
	return a
}

// Server makes a certificate for 127.0.0.1 and localhost, or what edit makes of it, and
// returns the files that it and its key are in. Files of the same name are replaced.
func (a *CA) Server(name string, edit ...func(*x509.Certificate)) (cert, key string) {
	a.tb.Helper()
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	return a.issue(name, template, edit)
}

// Client makes a certificate with a common name only, or what edit makes of it.
func (a *CA) Client(name string, edit ...func(*x509.Certificate)) tls.Certificate {
	a.tb.Helper()
	cert, key := a.ClientFiles(name, edit...)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return pair
}

// ClientFiles is Client, and returns the files.
func (a *CA) ClientFiles(name string, edit ...func(*x509.Certificate)) (cert, key string) {
	a.tb.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	return a.issue(name, template, edit)
}

func (a *CA) issue(name string, template *x509.Certificate, edit []func(*x509.Certificate)) (certFile, keyFile string) {
	a.tb.Helper()
	template.KeyUsage = x509.KeyUsageDigitalSignature
	for _, f := range edit {
		f(template)
	}
	cert, key := a.sign(template, a.cert, a.key)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.tb.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	a.write(certFile, "CERTIFICATE", cert.Raw)
	a.write(keyFile, "PRIVATE KEY", raw)
	return certFile, keyFile
}

// sign makes a key, and a certificate for it. Without a key of the parent it signs itself.
func (a *CA) sign(template, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	if by == nil {
		by = key
	}
	if template.SerialNumber == nil {
		template.SerialNumber = big.NewInt(time.Now().UnixNano())
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		a.tb.Fatal(err)
	}
	return cert, key
}

// write replaces a file as a whole, as whoever renews a certificate does.
func (a *CA) write(path, kind string, raw []byte) {
	a.tb.Helper()
	next := path + ".next"
	if err := os.WriteFile(next, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600); err != nil {
		a.tb.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		a.tb.Fatal(err)
	}
}

// ClientHello is what a client sends first.
func ClientHello(tb testing.TB, config *tls.Config) []byte {
	tb.Helper()
	near, far := net.Pipe()
	go func() { _ = tls.Client(near, config).Handshake() }()
	b := make([]byte, 1<<14)
	n, err := far.Read(b)
	if err != nil {
		tb.Fatal(err)
	}
	_ = far.Close()
	_ = near.Close()
	return b[:n]
}
