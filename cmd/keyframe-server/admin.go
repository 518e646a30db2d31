package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"keyframe/netio"
)

// liveTimeout is how long an event loop may take to answer /livez. A turn takes
// a millisecond or so.
const liveTimeout = 2 * time.Second

// maxAdminConns is how many connections the admin listener has at once; others are closed.
const maxAdminConns = 256

// startAdmin serves metrics, health and profiles at an address of their own, on
// a mux of their own: the default mux is open to whatever a library registers
// there. Profiles show what a process does and holds, so they are served to this
// machine only, and not to the pages in its browsers.
func startAdmin(cfg *config, token *atomic.Pointer[token], srv *netio.Server, log *slog.Logger) (*http.Server, error) {
	ln, err := net.Listen("tcp", cfg.admin)
	if err != nil {
		return nil, fmt.Errorf("can't serve --admin: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		newServerCollector(srv),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		MaxRequestsInFlight: 4, // a scrape gathers the store's statistics
	}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), liveTimeout)
		defer cancel()
		answerHealth(w, srv.CheckLoops(ctx))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		answerHealth(w, srv.Ready())
	})
	refuse := newRefusal(srv)
	var handler http.Handler = mux
	loopback := ln.Addr().(*net.TCPAddr).IP.IsLoopback()
	if loopback {
		handler = guardLoopback(cfg.admin, refuse, mux)
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		mux.Handle("/debug/pprof/mutex", whileTaken(pprof.Handler("mutex"), func(on bool) {
			runtime.SetMutexProfileFraction(rateIf(on, 1)) // every contended lock
		}))
		mux.Handle("/debug/pprof/block", whileTaken(pprof.Handler("block"), func(on bool) {
			runtime.SetBlockProfileRate(rateIf(on, int(time.Microsecond))) // waits of that length or more
		}))
	}
	if token.Load() != nil {
		handler = guardToken(token, refuse, handler)
	}
	scheme := "http"
	if cfg.adminTLS {
		scheme, ln = "https", srv.Secure(ln)
		handler = guardUsers(srv, refuse, handler)
	}
	admin := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // handshakes that fail, which anybody can cause
	}
	var conns atomic.Int64
	admin.ConnState = func(nc net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if conns.Add(1) > maxAdminConns {
				_ = nc.Close()
			}
		case http.StateClosed: // of each that was new
			conns.Add(-1)
		}
	}
	go func() {
		if err := admin.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the admin listener ended", "error", err)
		}
	}()
	log.Info("serving metrics and health", "url", scheme+"://"+ln.Addr().String(), "profiles", loopback)
	return admin, nil
}

// whileTaken is the handler of a profile for which the runtime gathers nothing unless told
// to, because gathering slows every lock down. It gathers only while a profile over some
// time, ?seconds=N, is being taken.
func whileTaken(profile http.Handler, gather func(on bool)) http.Handler {
	var mu sync.Mutex
	takers := 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("seconds") == "" {
			profile.ServeHTTP(w, r)
			return
		}
		mu.Lock()
		if takers++; takers == 1 {
			gather(true)
		}
		mu.Unlock()
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			if takers--; takers == 0 {
				gather(false)
			}
		}()
		profile.ServeHTTP(w, r)
	})
}

func rateIf(on bool, rate int) int {
	if on {
		return rate
	}
	return 0
}

// guardLoopback keeps web pages from what is served at a loopback address, where a browser
// on this machine takes the requests of any page. Two headers give them away. A page whose
// owner has made its name resolve to 127.0.0.1 (DNS rebinding) is of the same origin to the
// browser, and may read the answers: its requests carry that name as Host. Any other page
// may not read them, but a profile costs time even if its answer is dropped: browsers say
// in Sec-Fetch-Site where such requests come from.
//
// The port does not matter: a tunnel's other end may have any.
//
// An address that other machines can reach is not guarded: it is scraped by
// whatever name it has there, and serves no profiles.
func guardLoopback(address string, refuse refusal, next http.Handler) http.Handler {
	configured := netio.HostOf(address)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := netio.HostOf(r.Host); !namesThisMachine(host, configured) {
			refuse(w, r, http.StatusForbidden, fmt.Sprintf("the request is for %q, want localhost, a loopback address or the host that --admin names", host))
			return
		}
		switch from := r.Header.Get("Sec-Fetch-Site"); from {
		case "", "none", "same-origin":
			next.ServeHTTP(w, r)
		default:
			refuse(w, r, http.StatusForbidden, fmt.Sprintf("another site's page has sent the request (Sec-Fetch-Site: %s); type the address instead", from))
		}
	})
}

// namesThisMachine reports whether host, without its port, can't be a name that someone
// else's DNS resolves. An empty one comes from an HTTP/1.0 client, such as a load
// balancer's health check; browsers always send one.
func namesThisMachine(host, configured string) bool {
	if host == "" || strings.EqualFold(host, "localhost") || strings.EqualFold(host, configured) {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func answerHealth(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}

// adminAddress completes --admin's value: a port alone means loopback. It reports whether the
// address is to speak TLS.
func adminAddress(value string) (address string, secure bool, err error) {
	address, secure = strings.CutPrefix(value, "tls://")
	if !strings.Contains(address, ":") {
		address = ":" + address
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return "", false, fmt.Errorf("--admin %q: want a port, host:port or tls://host:port", value)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return "", false, fmt.Errorf("--admin %q: want a port from 0 to 65535", value)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), secure, nil
}
