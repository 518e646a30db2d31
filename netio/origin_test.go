package netio

import (
	"strings"
	"testing"

	"keyframe/netio/access"
)

// TestOrigin: pages of this server's own, and those that the options name.
func TestOrigin(t *testing.T) {
	listen := []string{"127.0.0.1:1987", "tcp://DB1.example:1987", "unix:///s"}
	for _, tt := range []struct {
		origin, host string
		allow        []string
		ok           bool
	}{
		{"", "anything", nil, true},
		{"http://127.0.0.1:1987", "127.0.0.1:1987", nil, true},
		{"http://localhost:1987", "LOCALHOST:1987", nil, true},
		{"http://[::1]:1987", "[::1]:1987", nil, true},
		{"https://127.0.0.1", "127.0.0.1", nil, true},
		{"https://[::1]", "[::1]", nil, true},
		{"http://db1.example:1987", "db1.example:1987", nil, true},
		{"http://127.0.0.1:1988", "127.0.0.1:1987", nil, false},
		{"http://127.0.0.1", "127.0.0.1:1987", nil, false},
		{"http://localhost:1987", "127.0.0.1:1987", nil, false},
		{"https://example.com", "127.0.0.1:1987", nil, false},
		{"http://evil.example:1987", "evil.example:1987", nil, false}, // DNS rebinding
		{"http://s", "s", nil, false},
		{"http:///s", "/s", nil, false}, // a path is no host
		{"null", "127.0.0.1:1987", nil, false},
		{"127.0.0.1:1987", "127.0.0.1:1987", nil, false},
		{"http://127.0.0.1:1987", "", nil, false},
		{"://", "", nil, false},
		{"https://example.com", "127.0.0.1:1987", []string{"https://a.example", "https://example.com"}, true},
		{"https://EXAMPLE.com", "x", []string{"https://example.com"}, true},
		{"https://example.com.evil.example", "x", []string{"https://example.com"}, false},
		{"http://example.com", "x", []string{"https://example.com"}, false},
		{"null", "x", []string{"null"}, true},
		{"https://example.com", "x", []string{"*"}, true},
	} {
		opts := Options{Listen: listen, AllowOrigins: tt.allow}
		err := opts.checkOrigin([]byte(tt.origin), []byte(tt.host))
		if (err == nil) != tt.ok {
			t.Errorf("origin %q, host %q, allowed %q: %v", tt.origin, tt.host, tt.allow, err)
		}
	}
	for text, want := range map[string]bool{
		"*": true, "null": true, "https://example.com": true, "http://[::1]:80": true, "app://x": true,
		"": false, "example.com": false, "https://": false, "https://example.com/": false, "https://u@example.com": false, "https://example.com?q": false, "**": false,
	} {
		if isOrigin(text) != want {
			t.Errorf("isOrigin(%q) is %v", text, !want)
		}
	}
}

// TestHost: a request without an origin is for a name that is this server's, or that an allowed
// origin has.
func TestHost(t *testing.T) {
	users, err := access.Parse([]byte(`{"users":[{"name":"bob","allow":{"read":["bob:"]}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		host  string
		allow []string
		users *access.Users
		ok    bool
	}{
		{"", nil, nil, true},
		{"db1:1987", nil, nil, true}, // a name without a dot is no one's to give away
		{"127.0.0.1:1987", nil, nil, true},
		{"[2001:db8::1]:1987", nil, nil, true},
		{"DB1.Example:80", nil, nil, true},
		{"evil.example:1987", nil, nil, false},
		{"/sock.example", nil, nil, false}, // a path is no host
		{"evil.example:1987", nil, users, true},
		{"evil.example:1987", []string{"*"}, nil, true},
		{"app.example:1987", []string{"https://other.example", "https://app.example"}, nil, true},
		{"APP.example", []string{"https://app.example:8443"}, nil, true},
		{"app.example:1987", []string{"https://sub.app.example"}, nil, false},
		{"app.example:1987", []string{"null"}, nil, false},
	} {
		opts := Options{Listen: []string{"127.0.0.1:1987", "tcp://db1.example:1987", "unix:///sock.example"}, AllowOrigins: tt.allow, Users: tt.users}
		if err := opts.checkHost([]byte(tt.host)); (err == nil) != tt.ok {
			t.Errorf("host %q, allowed %q, users %v: %v", tt.host, tt.allow, tt.users != nil, err)
		}
	}
}

// TestOriginOfUpgrade: the check stands in the way of an upgrade, and only there.
func TestOriginOfUpgrade(t *testing.T) {
	for _, tt := range []struct{ change, with, status string }{
		{"", "", "101"},
		{"Host: x\r\n", "Host: x\r\nOrigin: https://example.com\r\n", "403"},
		{"Host: x\r\n", "Host: 127.0.0.1:1987\r\norigin: http://127.0.0.1:1987\r\n", "101"},
		{"Host: x\r\n", "Host: 127.0.0.1:1987\r\nOrigin: http://127.0.0.1:1987\r\nOrigin: http://127.0.0.1:1987\r\n", "400"},
		{"Host: x\r\n", "Host: x\r\nOrigin: https://allowed.example\r\n", "101"},
	} {
		request := strings.Replace(upgradeRequest, tt.change, tt.with, 1)
		if tt.change != "" && request == upgradeRequest {
			t.Fatalf("nothing changed: %q in %q", tt.change, upgradeRequest)
		}
		answer := playHTTP(t, Options{AllowOrigins: []string{"https://allowed.example"}}, []byte(request))
		if !strings.HasPrefix(string(answer), "HTTP/1.1 "+tt.status) {
			t.Errorf("%q: %q; want %s", tt.with, answer, tt.status)
		}
	}
}
