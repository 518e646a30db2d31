package client

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// ParseAddr takes an address of a server apart, for net.Dial: "host:port", with or without
// tcp:// before it, or "unix:///path".
func ParseAddr(text string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(text, "unix://"); ok {
		if !filepath.IsAbs(path) {
			return "", "", fmt.Errorf("the address %q: want an absolute path, as in unix:///run/keyframe.sock", text)
		}
		return "unix", path, nil
	}
	address = strings.TrimPrefix(text, "tcp://")
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || strings.ContainsAny(host, "/ ") {
		return "", "", fmt.Errorf("the address %q: want host:port or unix:///path", text)
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
		return "", "", fmt.Errorf("the address %q: want a port from 1 to 65535", text)
	}
	return "tcp", address, nil
}
