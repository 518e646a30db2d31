package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"keyframe/codec"
	"keyframe/codec/client"
	"keyframe/engine"
	"keyframe/engine/journal"
	"keyframe/netio"
)

// This file is what looks at a --data-dir that no server has, keyframe-server check and
// dump, and what copies one that a server may have.

// offline is such a command.
type offline struct {
	usage string
	args  int // directories
	run   func(dirs []string, stdout io.Writer) error
}

var offlines = map[string]offline{
	"check": {args: 1, run: reading(check), usage: `Usage: keyframe-server check DIR

Reads a --data-dir from beginning to end, changes nothing, and says what is there: keys,
bytes, the age of the snapshot, and whether the journal's end is torn, as a crash leaves it.
Exit status: 0 all is well, or torn; 1 damaged, even if a server could start on it, in use,
or no store.
`},
	"copy": {args: 2, run: copyDir, usage: `Usage: keyframe-server copy DIR TO

Copies a --data-dir, which a server may be using, to TO, which must be empty or not there,
reads the copy from beginning to end, and says what is there. A server starts on it as on
any other. If two snapshots are made meanwhile it begins again, five times at most.
Exit status: 0 all is well; 1 there is no copy, or DIR is damaged, and TO is too.
`},
	"dump": {args: 1, run: reading(dump), usage: `Usage: keyframe-server dump DIR

Prints what is in a --data-dir as commands, a SETQ or SETEXQ a line, and changes nothing. A
server reads them as they are: keyframe-server dump DIR | nc -N 127.0.0.1 1987
It answers what it refuses. Give it the --values of the one before, --min-key 1 if there are
keys of Redis's clients, and a --max-frame for the longest line.
Exit status: 0 all is there; 1 some is not UTF-8, which no command can say, and is left out;
or nothing could be read.
`},
}

// main is the command; it returns the exit status.
func (o offline) main(args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && (args[0] == "-h" || args[0] == "--help") {
		fmt.Fprint(stdout, o.usage)
		return exitOK
	}
	if len(args) != o.args {
		fmt.Fprint(stderr, o.usage)
		return exitUsage
	}
	if err := o.run(args, stdout); err != nil {
		fmt.Fprintf(stderr, "keyframe-server: %s: %s\n", strings.Join(args, " to "), oneLine(withAdvice(err)))
		return exitFailure
	}
	return exitOK
}

var (
	// errNoStore is reported for a directory that no server has kept anything in: mostly it is another
	// one than was meant.
	errNoStore = errors.New("there is no store in it")
	// errSnapshot is reported when a server could start, and there is damage all the same.
	errSnapshot = errors.New("a snapshot is damaged; a server would start on what stands in for it")
)

// withAdvice adds to an error about damage what can be done.
func withAdvice(err error) error {
	if damage := (*journal.DamageError)(nil); errors.As(err, &damage) && damage.CanTruncate {
		return fmt.Errorf("%w; a server with --recover truncate starts with what is before it: copy the directory first", err)
	}
	return err
}

// reading is what a command does that reads the store of a directory.
func reading(do func(e *engine.Engine, report *journal.Report, stdout io.Writer) error) func([]string, io.Writer) error {
	return func(dirs []string, stdout io.Writer) error {
		j, err := openDir(dirs[0], journal.Options{ReadOnly: true})
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
		if report.Segments == 0 && report.Snapshot == "" {
			return errNoStore
		}
		return do(store, &report, stdout)
	}
}

// copyDir copies a directory. It counts no keys: a second store in memory could be what a
// machine with a server on it has no room for.
func copyDir(dirs []string, stdout io.Writer) error {
	from, err := journal.Dir(dirs[0], true)
	if err != nil {
		return err
	}
	to, err := journal.Dir(dirs[1], false)
	if err != nil {
		return err
	}
	report, err := journal.Copy(from, to)
	if err != nil {
		return err
	}
	return printReport(&report, stdout)
}

// printReport says what a recovery has found. It returns errSnapshot if not all is well.
func printReport(report *journal.Report, stdout io.Writer) error {
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
	if len(report.Skipped) > 0 {
		return errSnapshot
	}
	return nil
}

func check(e *engine.Engine, report *journal.Report, stdout io.Writer) error {
	err := printReport(report, stdout)
	var bytes uint64
	e.Range(func(key, value []byte) bool {
		bytes += uint64(len(key) + len(value))
		return true
	})
	fmt.Fprintf(stdout, "keys      %d, %s of keys and values\n", e.Len(), humanize.IBytes(bytes))
	return err
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
