package netio

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// This file keeps web pages out. A browser lets any page open a WebSocket to any address
// that it reaches, loopback included, and post a form there. What it says of itself is the
// Origin header: programs send none, and are not meant.

// originError is why a request of a page is refused.
type originError struct{ origin string }

func (e *originError) Error() string {
	return fmt.Sprintf("pages of the origin %q may not use this server: see --allow-origin", e.origin)
}

// checkOrigin refuses a request of a page unless Options.AllowOrigins names its origin, or
// the page comes from this server itself. That origin and host are the same does not say
// so: the owner of a page may have its name resolve to this machine (DNS rebinding). So the
// host must be an address, localhost, or a host that Options.Listen names.
func (o *Options) checkOrigin(origin, host []byte) error {
	if len(origin) == 0 {
		return nil
	}
	for _, allowed := range o.AllowOrigins {
		if allowed == "*" || strings.EqualFold(allowed, string(origin)) {
			return nil
		}
	}
	_, from, _ := bytes.Cut(origin, []byte("://"))
	if !bytes.EqualFold(from, host) || !o.isOwnName(HostOf(string(host))) {
		return &originError{string(origin)}
	}
	return nil
}

// hostError is why a request is refused that says nothing of its origin.
type hostError struct{ host string }

func (e *hostError) Error() string {
	return fmt.Sprintf("this server is not known as %q: name it by --listen, or as an origin by --allow-origin", e.host)
}

// checkHost is checkOrigin for a request without an origin: a browser sends none with the GET
// of a page to where it comes from, which is here if the page's name was made to resolve to
// this machine. A name without a dot is no one's to give away.
func (o *Options) checkHost(host []byte) error {
	name := HostOf(string(host))
	if o.Users != nil || !strings.Contains(name, ".") || o.isOwnName(name) { // no page has a user's password
		return nil
	}
	for _, allowed := range o.AllowOrigins {
		if _, from, _ := strings.Cut(allowed, "://"); allowed == "*" || strings.EqualFold(HostOf(from), name) {
			return nil
		}
	}
	return &hostError{string(host)}
}

// isOwnName reports whether no one but this server's operator has chosen a host's name.
func (o *Options) isOwnName(host string) bool {
	if net.ParseIP(host) != nil || strings.EqualFold(host, "localhost") {
		return true
	}
	for _, address := range o.Listen {
		if network, addr, err := ParseAddress(address); err == nil && network != "unix" && strings.EqualFold(HostOf(addr), host) {
			return true
		}
	}
	return false
}

// HostOf is a Host header or an address without the port, and without the brackets of IPv6.
func HostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
}

// isOrigin reports whether a text is what Options.AllowOrigins may have: an origin as
// browsers write it, null for pages that have none, or * for all.
func isOrigin(text string) bool {
	if text == "*" || text == "null" {
		return true
	}
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && u.Host != "" && text == u.Scheme+"://"+u.Host
}
