package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"keyframe/netio"
)

// liveTimeout is how long an event loop may take to answer /livez. A turn takes
// a millisecond or so.
const liveTimeout = 2 * time.Second

// startAdmin serves metrics, health and profiles at an address of their own, on
// a mux of their own: the default mux is open to whatever a library registers
// there. Profiles show what a process does and holds, so they are served to this
// machine only.
func startAdmin(address string, srv *netio.Server, log *slog.Logger) (*http.Server, error) {
	ln, err := net.Listen("tcp", address)
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
		if !srv.Ready() {
			answerHealth(w, errors.New("not accepting connections"))
			return
		}
		answerHealth(w, nil)
	})
	loopback := ln.Addr().(*net.TCPAddr).IP.IsLoopback()
	if loopback {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	admin := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	go func() {
		if err := admin.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the admin listener ended", "error", err)
		}
	}()
	log.Info("serving metrics and health", "url", "http://"+ln.Addr().String(), "profiles", loopback)
	return admin, nil
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

// adminAddress completes what --admin says: a port alone means loopback.
func adminAddress(address string) (string, error) {
	if !strings.Contains(address, ":") {
		address = ":" + address
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || port == "" {
		return "", fmt.Errorf("--admin %q: want a port or host:port", address)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}
