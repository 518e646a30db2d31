package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestGuardKnowsTheConfiguredHost: the name that --admin gives is the operator's own.
// TestAdminIsNotForWebPages sends the other kinds of requests to a server.
func TestGuardKnowsTheConfiguredHost(t *testing.T) {
	for _, tt := range []struct {
		address, host string
		status        int
	}{
		{"db1:6060", "db1:6060", 200},
		{"db1:6060", "DB1", 200},
		{"db1:6060", "db1:7070", 200},
		{"db1:6060", "localhost:6060", 200},
		{"db1:6060", "db2:6060", 403},
		{"db1:6060", "db1.example:6060", 403},
		{"127.0.0.1:6060", "db1:6060", 403},
		{"127.0.0.1:6060", "", 200}, // HTTP/1.0
		{"[::1]:6060", "[::1]", 200},
		{"[::1]:6060", "[::ffff:127.0.0.1]:6060", 200},
		{"[::1]:6060", "[2001:db8::1]:6060", 403},
	} {
		guarded := guardLoopback(tt.address, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		req.Host = tt.host
		answer := httptest.NewRecorder()
		guarded.ServeHTTP(answer, req)
		if answer.Code != tt.status {
			t.Errorf("--admin %s, a request for %q: %d, want %d", tt.address, tt.host, answer.Code, tt.status)
		}
	}
}
