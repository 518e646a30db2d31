package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"keyframe/codec"
	"keyframe/codec/client"
	"keyframe/engine"
	"keyframe/engine/journal"
	"keyframe/netio"
)

// This file is what looks at a --data-dir that no server has: keyframe-server check and
// dump.

// offline is such a command: it reads the store, and reports to stdout.
type offline struct {
	usage string
	run   func(e *engine.Engine, report *journal.Report, stdout io.Writer) error
}

var offlines = map[string]offline{
	"check": {run: check, usage: `Usage: keyframe-server check DIR

Reads a --data-dir from beginning to end, changes nothing, and says what is there: keys,
bytes, the age of the snapshot, and whether the journal's end is torn, as a crash leaves it.
Exit status: 0 all is well, or torn; 1 damaged, or in use.
`},
	"dump": {run: dump, usage: `Usage: keyframe-server dump DIR

Prints what is in a --data-dir as commands, a SETQ or SETEXQ a line, and changes nothing. A
server reads them as they are: keyframe-server dump DIR | nc -N 127.0.0.1 1987
`},
}

// main is the command; it returns the exit status.
func (o offline) main(args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && (args[0] == "-h" || args[0] == "--help") {
		fmt.Fprint(stdout, o.usage)
		return exitOK
	}
	if len(args) != 1 {
		fmt.Fprint(stderr, o.usage)
		return exitUsage
	}
	if err := o.read(args[0], stdout); err != nil {
		fmt.Fprintf(stderr, "keyframe-server: %s: %s\n", args[0], oneLine(err))
		return exitFailure
	}
	return exitOK
}

func (o offline) read(dir string, stdout io.Writer) error {
	j, err := openDir(dir, journal.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer j.Close() // it was only read
	store, err := engine.New(engine.Options{InitialCapacity: capacity(j.Keys(), 0)})
	if err != nil {
		return err
	}
	defer store.Close() // it reports only a second close
	report, err := netio.Recover(context.Background(), j, store)
	if err != nil {
		return err
	}
	return o.run(store, &report, stdout)
}

func check(e *engine.Engine, report *journal.Report, stdout io.Writer) error {
	for _, fault := range report.Skipped {
		fmt.Fprintf(stdout, "damaged   %v; another stands in\n", fault)
	}
	if report.Snapshot != "" {
		fmt.Fprintf(stdout, "snapshot  %s: %d keys, of %s\n", report.Snapshot, report.SnapshotKeys, report.SnapshotTime.Format(time.RFC3339))
	}
	fmt.Fprintf(stdout, "journal   %d segments, %d groups, %d changes, %s\n", report.Segments, report.Groups, report.Effects, humanize.IBytes(uint64(report.Bytes)))
	if cut := report.Cut; cut != nil {
		fmt.Fprintf(stdout, "torn      %s at byte %d: %s; %d groups after it\n", cut.Name, cut.Offset, cut.What, cut.Groups)
	}
	var bytes uint64
	e.Range(func(key, value []byte) bool {
		bytes += uint64(len(key) + len(value))
		return true
	})
	fmt.Fprintf(stdout, "keys      %d, %s of keys and values\n", e.Len(), humanize.IBytes(bytes))
	return nil
}

// errNotText is reported by dump when something could not be printed.
var errNotText = errors.New("what is not UTF-8 can't be printed and is left out")

func dump(e *engine.Engine, _ *journal.Report, stdout io.Writer) error {
	out := bufio.NewWriterSize(stdout, 64<<10)
	now := time.Now().UnixMilli()
	var line, text []byte
	left := 0
	e.Each(func(key, value []byte, form engine.Form, deadline int64) bool {
		if deadline != 0 && deadline <= now {
			return true // its time is over
		}
		switch codec.Form(form) {
		case codec.FormString:
			text = append(append(append(text[:0], '"'), value...), '"')
		case codec.FormBytes:
			text = codec.AppendString(text[:0], value)
		default:
			text = append(text[:0], value...)
		}
		if !utf8.Valid(key) || !utf8.Valid(value) {
			left++
			return true
		}
		op := codec.OpSetQ
		if deadline != 0 {
			op = codec.OpSetExQ
			line = client.AppendTimedOpen(line[:0], op, deadline-now)
		} else {
			line = client.AppendOpen(line[:0], op)
		}
		line = client.AppendPair(line, key, text)
		line = client.AppendClose(line, op)
		_, err := out.Write(append(line, '\n'))
		return err == nil // Flush reports it
	})
	if err := out.Flush(); err != nil {
		return err
	}
	if left > 0 {
		return fmt.Errorf("%d keys: %w", left, errNotText)
	}
	return nil
}
