// Command keyframe-server serves the Keyframe key-value store over WebSocket and
// JSON Lines. See the README for a first session, or run it with --help.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"keyframe/cmd/internal/version"
	"keyframe/codec"
	"keyframe/engine"
	"keyframe/engine/journal"
	"keyframe/netio"
)

// Exit statuses, as the README gives them.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitJournal = 3
)

func main() { os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr)) }

// run is main with its surroundings as arguments; it returns the exit status.
func run(args, environ []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "config" {
		return runConfig(args[1:], environ, stdout, stderr)
	}
	if len(args) > 0 && args[0] == "user" {
		return runUser(args[1:], environ, os.Stdin, stdout, stderr)
	}
	if len(args) > 0 && offlines[args[0]].run != nil {
		return offlines[args[0]].main(args[1:], stdout, stderr)
	}
	cfg, err := parseFlags(args, environ, stdout)
	if status, ended := usageStatus(err, stderr); ended {
		return status
	}
	if cfg.version {
		fmt.Fprintf(stdout, "keyframe-server %s\n", version.String())
		return exitOK
	}
	if err := serve(cfg, args, environ, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "keyframe-server: %s\n", oneLine(err))
		if errors.Is(err, errJournal) || errors.Is(err, errDisk) {
			return exitJournal
		}
		return exitFailure
	}
	return exitOK
}

// usageStatus says what is wrong with the usage, and reports whether that or the help has
// ended the command, and with which status.
func usageStatus(err error, stderr io.Writer) (status int, ended bool) {
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return exitOK, true
	case err != nil:
		fmt.Fprintf(stderr, "keyframe-server: %s\nTry --help.\n", oneLine(err))
		return exitUsage, true
	}
	return exitOK, false
}

// serve runs the server until SIGINT or SIGTERM. At SIGHUP it reads args, environ and the files
// that they name once more.
func serve(cfg *config, args, environ []string, stdout, stderr io.Writer) error {
	cfg.level = new(slog.LevelVar)
	cfg.level.Set(cfg.logLevel)
	log := cfg.logger(stderr, cfg.level)
	// gnet and other libraries that log on their own use the default logger.
	slog.SetDefault(log)

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)      // a second signal ends the process at once, and while it loads, too
	hangUp := make(chan os.Signal, 1) // a terminal that goes, or an operator that rotates logs, must not end the server
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)

	cfg.limitHeap()
	cfg.store.Merge, cfg.store.Readable = netio.Merge, netio.Readable
	opts := cfg.server
	if cfg.dataDir != "" {
		var err error
		if opts.Journal, err = openJournal(cfg, log); err != nil {
			return err
		}
	}
	store, err := engine.New(cfg.store)
	if err != nil {
		return err
	}
	left := false // something has not come back that uses the store and the journal, and may never
	defer func() {
		if left {
			return
		}
		if opts.Journal != nil {
			_ = opts.Journal.Close() // before the store, which a snapshot reads; after save it does nothing
		}
		_ = store.Close() // it reports only a second close
	}()

	opts.Logger = log
	opts.Version = version.String()
	srv, err := netio.New(store, opts)
	if err != nil {
		return err
	}
	reload := &reloader{config: cfg, args: args, environ: environ, srv: srv, log: log}
	reload.adminToken.Store(cfg.adminToken)
	if cfg.admin != "" {
		admin, err := startAdmin(cfg, &reload.adminToken, srv, log)
		if err != nil {
			return err
		}
		defer admin.Close() // it holds nothing that could be lost
	}
	if err := srv.Start(); err != nil {
		return err
	}

	failed := make(<-chan struct{})
	var report journal.Report
	if opts.Journal != nil {
		if report, err = load(ctx, srv, cfg.dataDir, log, stderr); err != nil {
			stop()
			_ = srv.Stop(ctx) // nobody was served
			if errors.Is(err, context.Canceled) {
				log.Info("stopped while loading")
				return nil
			}
			return err
		}
		failed = opts.Journal.Failed()
	}

	var addrs []string
	for _, a := range srv.Addrs() {
		addrs = append(addrs, a.Network()+"://"+a.String())
	}
	// Whatever started the server waits for this line, so the log level does not apply to
	// it.
	cfg.logger(stdout, slog.LevelInfo).Info("ready",
		"listen", strings.Join(addrs, " "),
		"framings", strings.Join(netio.Framings(), ", "),
		"data-dir", cmp.Or(cfg.dataDir, "none"), // an empty variable of the environment is easily missed
		"version", version.String(),
		"json", codec.Backend())

	for _, address := range cfg.inTheClear() {
		log.Warn("passwords and tokens can be read on their way here: serve tls:// addresses to other machines", "listen", address)
	}
	for ctx.Err() == nil {
		select {
		case <-hangUp:
			reload.reload()
		case <-ctx.Done():
		case <-failed:
			stop()
			left = true       // another write may still wait for the disk, and there is nothing to save
			_ = srv.Stop(ctx) // ctx is done: nothing that is held may leave
			return fmt.Errorf("%w: %w", errJournal, opts.Journal.Err())
		}
	}
	log.Info("stopping", "deadline", opts.StopTimeout)
	end := newEnding(opts.Journal, log)
	if err = end.stop(srv); err == nil {
		err = end.save(&report)
	}
	if err != nil {
		left = true
		return err
	}
	log.Info("stopped")
	return nil
}
