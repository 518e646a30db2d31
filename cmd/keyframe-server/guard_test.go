package main

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
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
		refuse := func(w http.ResponseWriter, _ *http.Request, status int, _ string) { w.WriteHeader(status) }
		guarded := guardLoopback(tt.address, refuse, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		req := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		req.Host = tt.host
		answer := httptest.NewRecorder()
		guarded.ServeHTTP(answer, req)
		if answer.Code != tt.status {
			t.Errorf("--admin %s, a request for %q: %d, want %d", tt.address, tt.host, answer.Code, tt.status)
		}
	}
}

// TestLocksAreProfiledWhileTaken: the runtime gathers from the start of the first profile
// to the end of the last, and doesn't gather for a profile without a duration.
func TestLocksAreProfiledWhileTaken(t *testing.T) {
	var gathered []bool
	begun, end := make(chan bool), make(chan bool)
	profile := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("seconds") != "" {
			begun <- true
			<-end
		}
	})
	h := whileTaken(profile, func(on bool) { gathered = append(gathered, on) })
	take := func(query string) {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/debug/pprof/mutex"+query, nil))
	}
	take("")
	for range 2 {
		var taking sync.WaitGroup
		taking.Go(func() { take("?seconds=1") })
		<-begun
		taking.Go(func() { take("?seconds=2") })
		<-begun
		take("?debug=1")
		end <- true
		end <- true
		taking.Wait()
	}
	if want := []bool{true, false, true, false}; !slices.Equal(gathered, want) {
		t.Errorf("gathering went %v, want %v", gathered, want)
	}
}
