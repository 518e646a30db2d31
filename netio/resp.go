package netio

import (
	"errors"
	"fmt"
	"strings"

	"keyframe/codec"
	"keyframe/codec/resp"
	"keyframe/netio/frame"
)

// This file is Redis's protocol as a framing, and the road of its commands into a batch.
// They differ from those of the contract in more than their bytes: an answer belongs to a
// command and not to an element, and begins with how much follows. So the pipeline has a
// second queue, of replies (respreplies.go); the batch, the store and the committer are the
// same. What the commands mean is in respcommands.go.

// respFraming is Redis's protocol, for one connection. Its commands don't go through next.
type respFraming struct {
	noMessages
	reader  resp.Reader
	opts    *Options
	version int         // 2 or 3
	minKey  int         // how many characters a key has at least
	client  *respClient // what others see of the connection
}

func newRESPFraming(opts *Options) framing {
	f := &respFraming{opts: opts, version: 2, minKey: opts.minKeyRESP, client: new(respClient)}
	f.reader = resp.Reader{MaxBytes: opts.MaxFrameBytes, IsKey: f.isKey}
	return f
}

// looksLikeRESP matches an array, or a line that begins with a command of Redis's.
func looksLikeRESP(first []byte) match {
	switch yes, more := resp.Begins(first); {
	case yes:
		return matches
	case more:
		return undecided
	}
	return differs
}

// refuseRESP turns a client away in Redis's words.
func refuseRESP(code codec.Status, reason string) []byte {
	switch {
	case code == codec.StatusUnavailable:
		return resp.AppendError(nil, "LOADING "+strings.TrimPrefix(reason, "LOADING: "))
	case reason == tooManyConns:
		reason = "max number of clients reached"
	}
	return resp.AppendError(nil, "ERR "+reason)
}

func (f *respFraming) next([]byte, int) ([]byte, int, unitKind, error) {
	panic("BUG: netio: the words of RESP are no payload")
}

func (f *respFraming) done(used int)  { f.reader.Done(used) }
func (f *respFraming) notUTF8() error { return nil }
func (f *respFraming) settled() bool  { return true }

func (f *respFraming) appendStatus([]byte, codec.Opcode, *codec.Arg, codec.Status) []byte {
	panic("BUG: netio: RESP answers no elements")
}

func (f *respFraming) appendValue([]byte, codec.Opcode, *codec.Arg, []byte) []byte {
	panic("BUG: netio: RESP answers no elements")
}

func (f *respFraming) appendText([]byte, []byte) []byte {
	panic("BUG: netio: RESP has no answers in JSON")
}

// appendEnd says what was wrong. An error that is no answer to a command could be taken for
// one, so the other ends are without a word, as in Redis.
func (f *respFraming) appendEnd(dst []byte, why error) []byte {
	if told, ok := why.(*toldEnd); ok && told.s == sDenied {
		return resp.AppendError(dst, "NOAUTH "+told.Reason)
	}
	if err := closeErrorOf(why); err != nil && (err.Code == frame.CloseProtocolError || err.Code == frame.CloseTooBig || err == errBuffersFull) {
		dst = resp.AppendError(dst, "ERR "+err.Reason)
	}
	return dst
}

func (f *respFraming) appendPing(dst []byte) ([]byte, bool) { return dst, false }

// errQuit is the end that a client has asked for.
var errQuit = errors.New("QUIT")

// errKilled is the end that another has asked for.
var errKilled = errors.New("CLIENT KILL")

// protocolEnd is the end of a connection whose bytes are no command.
func protocolEnd(err error) error {
	return &frame.CloseError{Code: frame.CloseProtocolError, Reason: err.Error()}
}

// words is a command that is being admitted.
type words struct {
	f     *respFraming
	cmd   *resp.Command
	args  [][]byte // its words, the name among them; of a long command the name only
	count int      // of all its words
	src   []byte
	at    int // where it begins there
	size  int
}

// next is where what follows the command begins.
func (w *words) next() int { return w.at + w.size }

// wordUnits is units for Redis's protocol.
func (p *pipeline) wordUnits(f *respFraming, src []byte) (used int, more bool) {
	w := words{f: f, src: src}
	for p.end == nil {
		if p.cost.isOver(len(p.out)) {
			more = used < len(src)
			break
		}
		p.cost.spent += costUnit
		args, size, unit, err := f.reader.Next(p.words[:0], src, used)
		p.words = args
		if p.identity != nil && !p.wordsMayBeNobodys(src, used, size, err) {
			used, more = len(src), false
			break
		}
		if err == resp.ErrIncomplete {
			break
		}
		if err != nil {
			if !p.flush(used, codec.Command{}) {
				return p.resumeAt, true
			}
			used = len(src)
			p.endWith(protocolEnd(err))
			break
		}
		switch unit {
		case resp.Part:
			p.cost.spent += costPart
			continue
		case resp.Blank:
			p.count.Frames++
			used += size
			continue
		}
		w.args, w.count, w.at, w.size = args, len(args), used, size
		if unit == resp.Long {
			var first int
			first, w.count = resp.Open(src, used)
			w.args, _ = resp.Take(args, src, first, 1)
			p.words = w.args
		}
		if !p.admitWords(&w) {
			return p.resumeAt, true
		}
		used += size
	}
	if !p.flush(used, codec.Command{}) {
		return p.resumeAt, true
	}
	return used, more
}

// wordsMayBeNobodys is mayBeNobody for what a Reader has returned.
func (p *pipeline) wordsMayBeNobodys(src []byte, at, size int, err error) bool {
	if err == resp.ErrIncomplete {
		err = frame.ErrIncomplete
	}
	return p.mayBeNobody(src, at, size, err)
}

// costPart is what it costs to look at a piece of a long command: 16,384 words of no length.
const costPart = 50_000

// admitWords takes one command into the batch, or answers it. It returns false when the turn
// is over before that.
func (p *pipeline) admitWords(w *words) bool {
	p.cost.bytes(w.size)
	state := p.begunWords()
	w.cmd = resp.Lookup(w.args[0])
	if w.cmd == nil || !w.cmd.Takes(w.count) || w.cmd.Flags&resp.Refused != 0 {
		return p.refuseWords(w)
	}
	if p.refusing != codec.StatusOK && w.cmd.Flags&resp.Write != 0 {
		p.fail(w, ErrorUnavailable, "MISCONF "+p.refusedBy)
		return true
	}
	if w.cmd.First != 0 && state == nil && !p.keysAreRight(w) {
		return true
	}
	if p.identity != nil && state == nil && !p.userMay(w) {
		return true
	}
	if w.count > len(w.args) || state != nil {
		if _, scans := state.(*respScan); !scans {
			return p.admitLong(w, state)
		}
	}
	if !p.perform(w, state) {
		return false
	}
	if len(p.batch.Ops) >= p.shares.batchOps || len(p.replies) >= p.shares.batchOps {
		return p.flush(w.next(), codec.Command{})
	}
	return true
}

// begunWords is what the turn before has left of the first command, nil if it has not begun.
func (p *pipeline) begunWords() (state any) {
	if p.resume.Extra != nil {
		state = p.resume.Extra.State
		p.resume = codec.Command{}
	}
	return state
}

// refuseWords answers a command that is none, or not served.
func (p *pipeline) refuseWords(w *words) bool {
	p.cost.spent += costRefusal
	name := w.args[0]
	switch {
	case w.cmd == nil:
		p.fail(w, ErrorUnknownCommand, unknownWords(name, w.args[1:]))
	case w.cmd.Flags&resp.Refused != 0:
		p.fail(w, ErrorDenied, notServed[w.cmd.ID])
	default:
		p.fail(w, ErrorArgumentType, "ERR wrong number of arguments for '"+w.cmd.Name+"' command")
	}
	return true
}

// notServed says why.
var notServed = map[resp.ID]string{
	resp.MSetNX:   "ERR MSETNX is not served: it could not be atomic here; use SET with NX, key by key",
	resp.Multi:    "ERR MULTI is not served: there are no transactions here",
	resp.Exec:     "ERR EXEC without MULTI",
	resp.Discard:  "ERR DISCARD without MULTI",
	resp.Watch:    "ERR WATCH is not served: there are no transactions here",
	resp.Unwatch:  "ERR UNWATCH is not served: there are no transactions here",
	resp.Shutdown: "NOPERM SHUTDOWN is not served: whoever started the server ends it",
}

// unknownWords is the error for a name that is no command, as Redis words it.
func unknownWords(name []byte, args [][]byte) string {
	const most = 128
	text := "ERR unknown command '" + string(name[:min(len(name), most)]) + "', with args beginning with: "
	for i := 0; i < len(args) && len(text) < 2*most; i++ {
		text += "'" + string(args[i][:min(len(args[i]), most)]) + "' "
	}
	return text
}

// keysAreRight reports whether the keys of a command may be keys, or answers it.
func (p *pipeline) keysAreRight(w *words) bool {
	right := true
	if w.count > len(w.args) {
		right = w.f.reader.KeysAreRight(w.cmd.Step)
	} else {
		last := w.cmd.Last
		if last < 0 {
			last += len(w.args)
		}
		for i := w.cmd.First; i <= last && i < len(w.args); i += w.cmd.Step {
			right = right && w.f.isKey(w.args[i])
		}
	}
	if !right {
		p.fail(w, ErrorKeyLength, fmt.Sprintf("ERR invalid key: a key has %d characters at least and %d bytes at most", w.f.minKey, codec.DefaultMaxKeyBytes))
	}
	return right
}

// isKey reports whether a word may be a key.
func (f *respFraming) isKey(word []byte) bool {
	return uint(len(word)-1) < codec.DefaultMaxKeyBytes && (f.minKey <= 1 || codec.HasChars(word, f.minKey))
}
