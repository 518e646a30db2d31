package netio

import (
	"net/http"
	"strconv"

	"keyframe/codec"
	"keyframe/codec/http1"
	"keyframe/netio/frame"
)

// This file is the bodies of requests that are served as they come, and of their responses.

// serveBody serves what has come of the body under way, which src begins with, and returns how
// much of src it has used up.
func (p *pipeline) serveBody(f *httpFraming, src []byte) (size int, got outcome) {
	body := f.body
	if !body.isChunked {
		text := src[:min(int64(len(src)), body.left)]
		size, got = p.serveLines(f, text, int64(len(text)) == body.left)
		if body.left -= int64(size); got == outcomeDone && p.end == nil {
			p.finishBody(f)
		}
		return size, got
	}
	for {
		if body.text.Len() > 0 && body.put == nil {
			p.lasting = true // its memory is the body's
			n, got := p.serveLines(f, body.text.Bytes(), body.ended)
			if body.text.Drop(n); got == outcomeStopped || p.end != nil {
				return size, got
			}
		}
		if body.ended {
			return size, p.endBody(f)
		}
		if body.fault != nil {
			p.refuseBody(f, body.fault)
			return size, outcomeDone
		}
		n := p.takeChunks(body, src[size:])
		if p.end != nil {
			return size, outcomeDone
		}
		if size += n; n == 0 && body.fault == nil {
			return size, outcomeMore
		}
	}
}

// takeChunks takes the chunks that have come out of their framing, up to the end or a fault:
// what is before that is served.
func (p *pipeline) takeChunks(body *httpBody, src []byte) (size int) {
	for !body.ended {
		data, n, done, err := body.chunks.Next(src[size:])
		if err == http1.ErrIncomplete {
			break
		}
		if err != nil {
			body.fault = err
			break
		}
		if grows := body.text.Growth(len(data)); grows > 0 && !p.reserve(grows) {
			p.end = errBuffersFull // the loop says so
			break
		}
		size += n
		body.text.Append(data)
		body.ended = done
		if most := body.maxBytes; most > 0 && body.text.Len() > most {
			body.fault = &http1.Error{Status: http.StatusRequestEntityTooLarge, Reason: tooLong(most)}
			break
		}
	}
	p.cost.bytes(size)
	return size
}

func tooLong(most int) string { return "the body is longer than " + strconv.Itoa(most) + " bytes" }

// endBody serves a chunked body that is whole.
func (p *pipeline) endBody(f *httpFraming) outcome {
	body := f.body
	if body.put == nil {
		p.finishBody(f)
		return outcomeDone
	}
	f.body = nil
	defer body.text.Release()
	p.lasting = true
	p.store1(f, &body.asked, body.put, body.text.Bytes(), 0, false)
	done := p.flush(0, codec.Command{})
	if !done {
		f.last = body.close
		return outcomeStopped
	}
	p.endAfter(&body.asked)
	return outcomeDone
}

// serveLines serves the commands in text, and returns how much of it it has used up. final:
// the body ends where text does.
func (p *pipeline) serveLines(f *httpFraming, text []byte, final bool) (used int, got outcome) {
	body := f.body
	defer func() { body.lines.done(used) }()
	for p.end == nil && used < len(text) {
		if p.cost.isOver(len(p.out)) {
			got = outcomeStopped
			break
		}
		p.cost.spent += costUnit
		payload, size, kind, err := body.nextCommand(text, used, final)
		if err == frame.ErrIncomplete {
			got = outcomeMore
			break
		}
		if err != nil {
			if !p.flush(used, codec.Command{}) {
				return p.resumeAt, outcomeStopped
			}
			p.out = f.appendText(p.out, codec.AppendServerError(nil, refusedSyntax, closeErrorOf(err).Reason))
			body.close = true
			p.endWith(err)
			return len(text), outcomeDone
		}
		if kind == unitBlank {
			if p.count.Frames++; len(p.queue) > 0 {
				p.blanks = append(p.blanks, len(p.queue))
			}
			used += size
			continue
		}
		body.served = true
		if !p.admit(payload, used, used+size) {
			return p.resumeAt, outcomeStopped
		}
		used += size
	}
	if !p.flush(used, codec.Command{}) {
		return p.resumeAt, outcomeStopped
	}
	if got == outcomeDone && !final {
		got = outcomeMore
	}
	return used, got
}

// nextCommand finds the command at text[at]. The last line needs no newline.
func (b *httpBody) nextCommand(text []byte, at int, final bool) (payload []byte, size int, kind unitKind, err error) {
	if !b.whole {
		payload, size, kind, err = b.lines.next(text, at)
		if err != frame.ErrIncomplete {
			return payload, size, kind, err
		}
	}
	if !final {
		return nil, 0, 0, frame.ErrIncomplete
	}
	payload = text[at:]
	if codec.SkipSpace(payload, 0) == len(payload) {
		kind = unitBlank
	}
	return payload, len(payload), kind, nil
}

// refuseBody ends the connection for a body that is none. If a command of it has been executed
// already the answers are sent, and the response is cut off; otherwise it says why.
func (p *pipeline) refuseBody(f *httpFraming, err error) {
	refused := err.(*http1.Error)
	body := f.body
	end := &httpEnd{CloseError: frame.CloseError{Code: frame.CloseProtocolError, Reason: refused.Reason}}
	if body.served {
		p.openBody(f)
		p.sealBody(f)
	} else {
		end.answer = httpError(refused.Status, refused.Reason)
	}
	f.body = nil
	body.text.Release()
	p.endWith(end)
}

// sealBody makes what the turn has answered to commands of a body a part of the response that
// can be sent: its head, if that has not been sent, and a chunk.
func (p *pipeline) sealBody(f *httpFraming) {
	body := f.body
	if body == nil || body.put != nil || len(p.out) == body.mark {
		return
	}
	if p.openBody(f); !body.old {
		p.out = appendChunk(p.out, body.mark)
	}
	body.mark = len(p.out)
}

// openBody puts the head of a response whose length is not known before what the turn has
// answered, if it has not been sent.
func (p *pipeline) openBody(f *httpFraming) {
	body := f.body
	if body.begun {
		return
	}
	body.begun = true
	if body.old {
		body.close = true // its end is the connection's
	}
	n := len(p.out)
	p.out = insert(p.out, body.mark, func(dst []byte) []byte {
		return f.appendHead(dst, &body.asked, response{status: http.StatusOK, kind: jsonLines, length: unknownLength})
	})
	body.mark += len(p.out) - n
}

// finishBody ends a response whose body is the answers to the commands of a request's body.
func (p *pipeline) finishBody(f *httpFraming) {
	body := f.body
	if !body.begun {
		length := len(p.out) - body.mark
		p.out = insert(p.out, body.mark, func(dst []byte) []byte {
			return f.appendHead(dst, &body.asked, response{status: http.StatusOK, kind: jsonLines, length: length})
		})
	} else {
		p.sealBody(f)
		if !body.old {
			p.out = append(p.out, "0\r\n\r\n"...)
		}
	}
	f.body = nil
	body.text.Release()
	if p.end == nil {
		p.endAfter(&body.asked)
	}
}

// appendChunk makes out[from:] a chunk.
func appendChunk(out []byte, from int) []byte {
	size := len(out) - from
	out = insert(out, from, func(dst []byte) []byte {
		return append(strconv.AppendUint(dst, uint64(size), 16), "\r\n"...)
	})
	return append(out, "\r\n"...)
}

// insert puts what add appends at b[at].
func insert(b []byte, at int, add func([]byte) []byte) []byte {
	end := len(b)
	b = add(b)
	n := len(b) - end
	var small [512]byte
	added := append(small[:0], b[end:]...)
	copy(b[at+n:], b[at:end])
	copy(b[at:], added)
	return b
}
