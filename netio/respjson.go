package netio

import (
	"keyframe/codec/resp"
	"keyframe/engine"
)

// This file is the JSON commands of Redis's protocol. They have no paths but the whole value.

// maxJSONSet bounds the text of a JSON.SET, which is checked in one go: 7 ms at the very most,
// if it is nothing but brackets.
const maxJSONSet = 1 << 20

const errPath = "ERR only the whole value has a path here: $ or ."

// isWhole reports whether a path is that of the whole value, and whether its answers come in
// an array.
func isWhole(path []byte) (whole, inArray bool) {
	return string(path) == "$" || string(path) == ".", string(path) == "$"
}

// json has one of them executed with the batch.
func (p *pipeline) json(w *words) {
	args := w.args
	path := []byte(".")
	switch {
	case w.cmd.ID == resp.JSONSet:
		path = args[2]
	case w.cmd.ID == resp.JSONMGet:
		path = args[len(args)-1]
	case len(args) == 3:
		path = args[2]
	case len(args) > 3:
		p.fail(w, ErrorArgumentType, errPath)
		return
	}
	whole, inArray := isWhole(path)
	if !whole {
		p.fail(w, ErrorArgumentType, errPath)
		return
	}
	switch w.cmd.ID {
	case resp.JSONSet:
		p.setJSON(w)
	case resp.JSONGet:
		p.batch.Add(engine.Get, args[1], nil)
		if inArray {
			p.await(w, replyJSONArray)
		} else {
			p.await(w, replyJSON)
		}
	case resp.JSONMGet:
		keys, kind := args[1:len(args)-1], replyJSONs
		if inArray {
			kind = replyJSONsEach
		}
		p.many(w, engine.Get, kind, keys, len(keys))
	case resp.JSONDel:
		p.many(w, engine.Remove, replyCount, args[1:2], 0)
	case resp.JSONType:
		p.batch.Add(engine.Get, args[1], nil)
		p.await(w, replyJSONType)
	}
}

// setJSON is JSON.SET.
func (p *pipeline) setJSON(w *words) {
	text := w.args[3]
	if len(text) > maxJSONSet {
		p.fail(w, ErrorValueType, "ERR a value of more than 1 MiB: send it in a SET of JSON Lines or WebSocket")
		return
	}
	value, form, err := p.dec.Value(text)
	p.cost.bytes(len(text))
	p.cost.mustLook()
	switch {
	case err != nil:
		p.fail(w, ErrorSyntax, "ERR "+err.Error())
		return
	case len(w.args) > 5:
		p.fail(w, ErrorArgumentType, errSyntax)
		return
	}
	set := engine.Args{}
	kind, answer := engine.Set, replyOK
	if len(w.args) == 5 {
		switch {
		case resp.Is(w.args[4], "nx"):
			kind, answer = engine.Add, replyJSONSet
		case resp.Is(w.args[4], "xx"):
			kind, answer, set.If = engine.Swap, replyJSONSet, engine.IfExists
		default:
			p.fail(w, ErrorArgumentType, errSyntax)
			return
		}
	}
	p.batch.AddArgs(kind, w.args[1], value, engine.Form(form), set)
	p.await(w, answer)
}
