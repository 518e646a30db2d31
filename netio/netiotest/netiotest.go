// Package netiotest serves a store inside a test or a benchmark, for the packages
// that need a server to talk to and are not about how it begins and ends, and a test's
// own answers for those that are about a server that does wrong.
package netiotest

import (
	"context"
	"log/slog"
	"testing"

	"keyframe/engine"
	"keyframe/netio"
)

// Start serves an empty store until the test ends. What opts leaves open is what most
// tests want: any free port of 127.0.0.1, one event loop, no log.
func Start(tb testing.TB, opts netio.Options) (*netio.Server, *engine.Engine) {
	tb.Helper()
	store, err := engine.New(engine.Options{Merge: netio.Merge, Readable: netio.Readable})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	if opts.Listen == nil {
		opts.Listen = []string{"127.0.0.1:0"}
	}
	if opts.Loops == 0 {
		opts.Loops = 1
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	srv, err := netio.New(store, opts)
	if err != nil {
		tb.Fatal(err)
	}
	if err := srv.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = srv.Stop(context.Background()) }) // before the store's
	return srv, store
}
