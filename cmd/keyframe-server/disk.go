package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"keyframe/engine/journal"
	"keyframe/netio"
)

// This file is a server's store on disk: --data-dir.

// errJournal ends a server whose journal can't be written any more.
var errJournal = errors.New("the journal has failed: what was not acknowledged may be lost")

// openJournal opens the journal that --data-dir names, and has the store made to its size.
func openJournal(cfg *config, log *slog.Logger) (*journal.Journal, error) {
	j, err := openDir(cfg.dataDir, journal.Options{
		Mode: cfg.fsync, Truncate: cfg.recover == "truncate", AddProcessors: true,
		Log: func(isError bool, text string, args ...any) {
			level := slog.LevelInfo
			if isError {
				level = slog.LevelError
			}
			log.Log(context.Background(), level, text, args...)
		},
	})
	if err != nil {
		return nil, err
	}
	cfg.store.RecordEffects = true
	cfg.store.InitialCapacity = capacity(j.Keys(), cfg.store.MaxBytes)
	return j, nil
}

func openDir(path string, opts journal.Options) (*journal.Journal, error) {
	fs, err := journal.Dir(path, opts.ReadOnly)
	if err != nil {
		return nil, err
	}
	return journal.Open(fs, opts)
}

// capacity is the InitialCapacity for a snapshot's keys. Of a store with a ceiling it is
// left alone: one too large would be refused, and growing takes no more memory.
func capacity(keys uint64, maxBytes int) int {
	const most = 1 << 30 // no more is believed of what a file says
	if maxBytes > 0 {
		return 0
	}
	return int(min(keys, most))
}

// load fills the server's store from disk, and says how far it is.
func load(ctx context.Context, srv *netio.Server, dir string, log *slog.Logger, stderr io.Writer) (journal.Report, error) {
	done := showProgress(srv, stderr)
	report, err := srv.Load(ctx)
	done()
	if err != nil {
		return report, fmt.Errorf("%s: %w", dir, withAdvice(err))
	}
	for _, fault := range report.Skipped {
		log.Error("a snapshot is damaged; the one before it, or the journal alone, stands in", "error", fault)
	}
	if cut := report.Cut; cut != nil {
		log.Warn("the journal is cut", "file", cut.Name, "byte", cut.Offset, "why", cut.What, "groups after it", cut.Groups)
	}
	log.Info("loaded", "dir", dir, "snapshot keys", report.SnapshotKeys, "journal effects", report.Effects,
		"seconds", report.Duration.Round(time.Millisecond).Seconds())
	return report, nil
}

// showProgress shows a bar on a terminal until what it returns is called.
func showProgress(srv *netio.Server, stderr io.Writer) (done func()) {
	f, ok := stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}
	}
	bar := progressbar.DefaultBytesSilent(-1)
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				fmt.Fprint(f, "\r\033[K")
				return
			case <-tick.C:
			}
			if p, loading := srv.Loading(); loading && p.Total > 0 {
				bar.ChangeMax64(p.Total)
				_ = bar.Set64(p.Done) // it only draws
				fmt.Fprintf(f, "\rloading %s", bar.String())
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}

// save ends the journal of a server that has stopped: with a snapshot, so that the next
// start has little to read, if anything has changed.
func save(j *journal.Journal, report *journal.Report, log *slog.Logger) error {
	var unsaved error
	if st := j.Stats(); st.Groups > 1 || report.Effects > 0 {
		var info journal.SnapshotInfo
		if info, unsaved = j.Snapshot(false); unsaved == nil {
			log.Info("saved", "keys", info.Keys, "bytes", info.Bytes, "seconds", info.Duration.Round(time.Millisecond).Seconds())
		}
	}
	err := j.Close()
	switch {
	case unsaved != nil && err == nil:
		log.Warn("no snapshot could be made; the journal has everything", "error", unsaved)
	case unsaved != nil:
		log.Error("no snapshot could be made", "error", unsaved) // the other error is the caller's
	}
	return err
}
