package netio

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// This file is what the listeners of tls:// addresses prove, and whom they trust: the
// files that Options names, read at the start and again when they change.

// cipherSuites are those of TLS 1.2: with forward secrecy and authenticated encryption.
// Those of 1.3 are all like that, and can't be chosen.
var cipherSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// credentials are the contents of the files.
type credentials struct{ cert, key, clientCA []byte }

func (c *credentials) equal(o *credentials) bool {
	return bytes.Equal(c.cert, o.cert) && bytes.Equal(c.key, o.key) && bytes.Equal(c.clientCA, o.clientCA)
}

// readCredentials reads the files. Its error is an *OptionError.
func (o *Options) readCredentials() (*credentials, error) {
	var c credentials
	for _, f := range []struct {
		field, path string
		text        *[]byte
	}{
		{"TLSCert", o.TLSCert, &c.cert},
		{"TLSKey", o.TLSKey, &c.key},
		{"TLSClientCA", o.TLSClientCA, &c.clientCA},
	} {
		if f.path == "" && f.field == "TLSClientCA" {
			continue
		}
		var err error
		if *f.text, err = os.ReadFile(f.path); err != nil {
			return nil, &OptionError{f.field, f.path, "a file that can be read: " + pathless(err)}
		}
	}
	return &c, nil
}

// pathless is the text of an error about a file without the file's name.
func pathless(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// tlsConfig makes of the files' contents what handshakes need. The keys of session tickets
// are the config's own: a client that the new one would not let in can't go on with a
// session of the old one.
func (o *Options) tlsConfig(c *credentials) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, &OptionError{"TLSCert", o.TLSCert, "a certificate that fits the key in " + o.TLSKey + ": " + err.Error()}
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   o.TLSMin,
		CipherSuites: cipherSuites,
		NextProtos:   []string{"http/1.1"}, // what a WebSocket begins with; programs that speak lines ask for nothing
		// A turn is sealed in one go, and sent with one write.
		DynamicRecordSizingDisabled: true,
	}
	if o.TLSClientCA != "" {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(c.clientCA) {
			return nil, &OptionError{"TLSClientCA", o.TLSClientCA, "certificates in PEM"}
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		if o.TLSClientOptional {
			config.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	return config, nil
}

// validateTLS reports the faults of the options of TLS, for addresses of which some, or none, are tls://.
func (o *Options) validateTLS(secure bool) error {
	given := o.TLSCert != "" || o.TLSKey != "" || o.TLSClientCA != ""
	switch {
	case o.TLSMin != tls.VersionTLS12 && o.TLSMin != tls.VersionTLS13:
		return &OptionError{"TLSMin", o.TLSMin, "1.2 or 1.3"}
	case !given && !secure:
		return nil
	case o.TLSCert == "":
		return &OptionError{"TLSCert", "", "a certificate for tls:// addresses"}
	case o.TLSKey == "":
		return &OptionError{"TLSKey", "", "the certificate's key"}
	case o.TLSClientOptional && o.TLSClientCA == "":
		return &OptionError{"TLSClientCA", "", "the roots of clients' certificates, which are to be verified"}
	}
	c, err := o.readCredentials()
	if err == nil {
		_, err = o.tlsConfig(c)
	}
	return err
}

// certificates are a server's: what it proves now, and how it comes to other ones. Its
// methods may be called from any goroutine.
type certificates struct {
	current atomic.Pointer[tls.Config] // nil: there are none
	end     atomic.Int64               // of the current certificate, in seconds since 1970

	mu     sync.Mutex   // guards what follows
	loaded *credentials // what current was made of
	failed *credentials // what was the last that nothing could be made of; nil: current is newer
}

// certCheckInterval is how often the files are looked at.
const certCheckInterval = 2 * time.Second

// ReloadCertificates reads the certificate files once more, and reports whether they
// have changed. Connections that are open keep what they have agreed on; the next ones get
// the new certificate, and have to satisfy the new roots. After an error all is as before.
// It may be called from any goroutine.
func (s *Server) ReloadCertificates() (changed bool, err error) {
	changed, _, err = s.reloadCertificates()
	return changed, err
}

// reloadCertificates is ReloadCertificates, and reports whether an error is news.
func (s *Server) reloadCertificates() (changed, news bool, err error) {
	o := &s.opts
	if o.TLSCert == "" {
		return false, false, nil
	}
	k := &s.tls.certs
	k.mu.Lock()
	defer k.mu.Unlock()
	c, err := o.readCredentials()
	if err != nil {
		news = k.failed == nil || !k.failed.equal(&credentials{})
		k.failed = &credentials{}
		return false, news, err
	}
	if k.loaded != nil && k.loaded.equal(c) {
		k.failed = nil
		return false, false, nil
	}
	config, err := o.tlsConfig(c)
	if err != nil {
		news = k.failed == nil || !k.failed.equal(c)
		k.failed = c
		return false, news, err
	}
	k.loaded, k.failed = c, nil
	k.current.Store(config)
	leaf := config.Certificates[0].Leaf
	k.end.Store(leaf.NotAfter.Unix())
	if now := time.Now(); now.After(leaf.NotAfter) || now.Before(leaf.NotBefore) {
		s.log.Warn("the certificate is not valid now: clients will refuse it", "file", o.TLSCert, "from", leaf.NotBefore, "to", leaf.NotAfter)
	}
	return true, false, nil
}

// loadCertificates reads the files for the first time.
func (s *Server) loadCertificates() error {
	if _, _, err := s.reloadCertificates(); err != nil {
		return err
	}
	if key := s.opts.TLSKey; key != "" {
		if info, err := os.Stat(key); err == nil && info.Mode().Perm()&0o007 != 0 {
			s.log.Warn("anybody on this machine can read the certificate's key", "file", key, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
		}
	}
	return nil
}

// Secure returns a listener for connections that others serve, which speak TLS as those of
// tls:// addresses do: each shakes hands with what the certificate files have when it comes.
// There must be a certificate. The connections are *tls.Conn that have not shaken hands yet.
func (s *Server) Secure(ln net.Listener) net.Listener { return &certifiedListener{ln, &s.tls.certs} }

type certifiedListener struct {
	net.Listener
	certs *certificates
}

func (ln *certifiedListener) Accept() (net.Conn, error) {
	nc, err := ln.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(nc, ln.certs.current.Load()), nil
}

// watchCertificates reads the files when they have changed. They are compared, not
// watched: it is three small files, and a mounted secret changes by a link two directories
// up. A certificate and its key don't change in one moment, so what does not fit is tried
// again, and logged once.
func (s *Server) watchCertificates() {
	tick := time.NewTicker(certCheckInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-s.stopping.Done():
			return
		}
		switch changed, news, err := s.reloadCertificates(); {
		case changed:
			s.log.Info("new certificate files", "certificate", s.opts.TLSCert, "valid-to", time.Unix(s.tls.certs.end.Load(), 0).UTC())
		case news:
			s.log.Warn("the certificate files have changed, and are not used", "error", err)
		}
	}
}
