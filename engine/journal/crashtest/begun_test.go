package crashtest

import (
	"bytes"
	"math/rand/v2"
	"syscall"
	"testing"
)

// begunWrites are what becomes of the writes that a snapshot only begins. It is for one goroutine.
type begunWrites struct {
	t      *testing.T
	r      *rand.Rand
	seen   map[string]int
	failed bool // one that the snapshot needs has ended in a fault
	broken bool // in one that is not for want of room
}

// fault is what a write is to come to.
type fault int

const (
	refused  fault = iota // it can't be begun, and is written as others
	broken                // EIO
	full                  // ENOSPC, though there is room: it is written as others
	stayFull              // ENOSPC, and once more when it is written as others
	short
	faults
)

var faultNames = [faults]string{"refused", "broken", "full", "full for good", "short"}

// draw returns what the next write comes to; faults: nothing goes wrong.
func (w *begunWrites) draw() fault {
	f := min(fault(w.r.IntN(8*int(faults))), faults)
	if f < faults {
		w.seen["begun write "+faultNames[f]]++
	}
	return f
}

// begunFile is a file whose writes are begun. Until it has ended, a part of one is written, which
// the power may take as it may all that is not synced. It ends when that has been asked a few
// times.
type begunFile struct {
	file
	writes *begunWrites
	under  []byte // what is being written; nil: nothing
	was    []byte // what that was when it was begun
	at     int64
	fault  fault
	left   int  // so many times it has not ended yet
	full   bool // the next write finds no room
}

func (f *begunFile) idle(what string) {
	if f.under != nil {
		f.writes.t.Errorf("%s while a write is under way", what)
	}
}

func (f *begunFile) StartWrite(b []byte, at int64) bool {
	f.idle("a write is begun")
	w := f.writes
	if f.fault = w.draw(); f.fault == refused {
		return false
	}
	from := w.r.IntN(len(b))
	if _, err := f.file.WriteAt(b[from:from+w.r.IntN(len(b)-from)], at+int64(from)); err != nil {
		w.t.Error(err)
	}
	f.under, f.was, f.at, f.left = b, bytes.Clone(b), at, w.r.IntN(3)
	w.seen["begun write"]++
	return true
}

func (f *begunFile) WriteEnded() (n int, ended bool, err error) {
	if f.left--; f.left >= 0 {
		f.writes.seen["begun write waited for"]++
		return 0, false, nil
	}
	b := f.under
	if f.under = nil; !bytes.Equal(b, f.was) {
		f.writes.t.Error("what is being written was changed")
	}
	switch f.fault {
	case broken:
		f.writes.failed, f.writes.broken = true, true
		return 0, true, syscall.EIO
	case stayFull:
		f.full = true
		fallthrough
	case full:
		return 0, true, syscall.ENOSPC
	case short:
		f.writes.failed = true
		b = b[:f.writes.r.IntN(len(b))]
	}
	n, err = f.file.WriteAt(b, f.at)
	return n, true, err
}

func (f *begunFile) WriteAt(b []byte, at int64) (int, error) {
	if f.idle("a write"); f.full {
		f.full, f.writes.failed = false, true
		n, _ := f.file.WriteAt(b[:f.writes.r.IntN(len(b))], at)
		return n, syscall.ENOSPC
	}
	return f.file.WriteAt(b, at)
}

func (f *begunFile) Sync() error {
	f.idle("a sync")
	return f.file.Sync()
}

func (f *begunFile) Close() error {
	f.idle("a close")
	return f.file.Close()
}
