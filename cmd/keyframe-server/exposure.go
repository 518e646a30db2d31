package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"

	"keyframe/netio"
)

// This file keeps a server from being open by accident. Without --users nobody is asked who
// they are, so whoever reaches a listener reads and writes everything. That other machines reach it
// has to be said: by an address alone it is too easily said without being meant.

// checkExposure returns an error for listeners that other machines can reach, unless
// --insecure is set.
func (c *config) checkExposure() error {
	if c.insecure {
		return nil
	}
	var faults []error
	for _, address := range c.server.Listen {
		if c.server.Users != nil {
			break // whoever comes is asked who they are
		}
		// CheckOptions has found the addresses to be right.
		network, addr, _ := netio.ParseAddress(address)
		if proven := network == "tls" && c.mustProve(); network != "unix" && !proven && !isLocal(addr) {
			faults = append(faults, fmt.Errorf("--listen %s can be reached from other machines, where anybody may read and write everything: give a loopback address or a unix socket, or --users, or add --insecure if all who reach it may", address))
		}
	}
	if proven := c.adminTLS && c.mustProve(); c.admin != "" && c.adminToken == nil && !proven && !isLocal(c.admin) {
		faults = append(faults, fmt.Errorf("--admin %s can be reached from other machines: give a loopback address, or --admin-token-file, or tls:// and --tls-client-ca, or add --insecure if all who reach it may see the metrics", c.admin))
	}
	return errors.Join(faults...)
}

// mustProve reports whether clients of TLS must show a certificate.
func (c *config) mustProve() bool { return c.server.TLSClientCA != "" && !c.server.TLSClientOptional }

// checkCertificate returns an error for a certificate that no listener shows, or an --admin
// without the one that it is to show.
func (c *config) checkCertificate() error {
	shown := c.adminTLS
	for _, address := range c.server.Listen {
		network, _, _ := netio.ParseAddress(address)
		shown = shown || network == "tls"
	}
	switch {
	case c.adminTLS && c.server.TLSCert == "":
		return fmt.Errorf("--admin tls://%s needs --tls-cert and --tls-key", c.admin)
	case c.server.TLSCert != "" && !shown:
		return errors.New("--tls-cert is for tls:// addresses, and neither --listen nor --admin is one")
	}
	return nil
}

// inTheClear are the listeners of which passwords and tokens can be read on their way.
func (c *config) inTheClear() (addresses []string) {
	if c.adminToken != nil && c.admin != "" && !c.adminTLS && !isLocal(c.admin) {
		addresses = append(addresses, c.admin)
	}
	if c.server.Users == nil {
		return addresses
	}
	for _, address := range c.server.Listen {
		if network, addr, _ := netio.ParseAddress(address); network == "tcp" && !isLocal(addr) {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

// isLocal reports whether only this machine reaches an address. A name does not count
// unless all that it resolves to is local; without a host, all interfaces are meant.
func isLocal(hostport string) bool {
	host := netio.HostOf(hostport)
	if host == "" {
		return false
	}
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	ips, err := net.LookupIP(host)
	for _, ip := range ips {
		if !ip.IsLoopback() {
			return false
		}
	}
	return err == nil
}

// A token is the SHA-256 of a secret: the secret itself is not kept, and hashes of one
// length are compared in constant time.
type token [sha256.Size]byte

// minTokenBytes keeps out what can be guessed. 32 random bytes in base64 are 43.
const minTokenBytes = 16

// readToken reads the secret that a file holds. Its mode must keep others out.
func readToken(path string) (*token, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has the mode %04o: others may read it, want 0600", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	secret := strings.TrimSpace(string(text))
	if len(secret) < minTokenBytes {
		return nil, fmt.Errorf("%s holds %d bytes, want a secret of at least %d, as from: openssl rand -base64 32", path, len(secret), minTokenBytes)
	}
	t := token(sha256.Sum256([]byte(secret)))
	return &t, nil
}

// guardToken lets only requests through that bring the token that is current then.
func guardToken(current *atomic.Pointer[token], refuse refusal, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secret, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if sum := sha256.Sum256([]byte(secret)); subtle.ConstantTimeCompare(sum[:], current.Load()[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="keyframe"`)
			refuse(w, r, http.StatusUnauthorized, "want the header Authorization: Bearer with the token of --admin-token-file")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// guardUsers lets only those through whose certificate is an admin's, on a server with users; one
// that has shown none is left to the token.
func guardUsers(srv *netio.Server, refuse refusal, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.VerifiedChains) > 0 {
			if name, is := srv.Admin(r.TLS); !is {
				refuse(w, r, http.StatusForbidden, fmt.Sprintf("the certificate's name is %q, want one of a user with the class admin", name))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// refusal answers a request that is refused, and puts it on record.
type refusal func(w http.ResponseWriter, r *http.Request, status int, reason string)

func newRefusal(srv *netio.Server) refusal {
	return func(w http.ResponseWriter, r *http.Request, status int, reason string) {
		user := ""
		if r.TLS != nil {
			user, _ = srv.Admin(r.TLS)
		}
		srv.Refused(r.RemoteAddr, user, "--admin", reason)
		w.Header().Set("Connection", "close") // whoever is refused keeps no place
		http.Error(w, strings.ToLower(http.StatusText(status))+": "+reason, status)
	}
}
