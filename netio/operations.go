package netio

import (
	"strconv"

	"keyframe/codec"
	"keyframe/engine"
)

// This file is the operations of the commands that are more than a key and a value.

// addOthers hands arguments to the engine, those of the commands after the renames.
func (p *pipeline) addOthers(cmd codec.Command, args []codec.Arg) {
	effect := cmd.Op.Effect()
	kind, from := kinds[effect], len(p.batch.Ops)
	now := p.time()
	for i := range args {
		arg := &args[i]
		if arg.Status != codec.StatusOK {
			continue
		}
		form := engine.Form(arg.Form)
		switch effect {
		case codec.EffectExpire:
			var deadline int64
			if ms := arg.Int(); ms != 0 {
				deadline = now + ms
			}
			p.batch.AddArgs(kind, arg.Key, nil, 0, engine.Args{Deadline: deadline})
		case codec.EffectDeadline:
			p.batch.AddArgs(kind, arg.Key, nil, 0, engine.Args{})
		case codec.EffectIncr:
			p.batch.AddArgs(kind, arg.Key, nil, 0, engine.Args{Delta: arg.Int()})
		case codec.EffectCompareStore:
			expected, expectedForm, value, valueForm := arg.Comparison()
			if !p.anyValues && expectedForm == codec.FormJSON && expected[0] == 'n' { // null is no value: it must not exist
				p.batch.AddForm(engine.Add, arg.Key, value, engine.Form(valueForm))
				continue
			}
			p.batch.AddArgs(kind, arg.Key, value, engine.Form(valueForm), engine.Args{Expected: expected, ExpectedForm: engine.Form(expectedForm)})
		case codec.EffectCompareRemove:
			p.batch.AddArgs(kind, arg.Key, nil, 0, engine.Args{Expected: arg.Value, ExpectedForm: form})
		case codec.EffectUpdate:
			p.batch.AddForm(kind, arg.Key, arg.Value, engine.Form(codec.FormUpdate))
		default:
			p.batch.AddForm(kind, arg.Key, arg.Value, form)
		}
	}
	if effect == codec.EffectTake || effect == codec.EffectSwap {
		p.batch.ShareArgs(from, engine.Args{Readable: true})
	}
}

// Merge is the engine.Options.Merge of an engine that is served: what APPEND and UPDATE
// make of a value.
func Merge(dst, old []byte, oldForm engine.Form, exists bool, op *engine.Op) (value []byte, form engine.Form, st engine.Status) {
	value, newForm, status := codec.Merge(dst, old, codec.Form(oldForm), exists, op.Value, codec.Form(op.Form))
	switch status {
	case codec.StatusKeySet:
		st = engine.Created
	case codec.StatusKeyUpdated:
		st = engine.Updated
	case codec.StatusKeyNotExist:
		st = engine.NotFound
	case codec.StatusNotAnInteger:
		st = engine.NotInteger
	default:
		st = engine.Refused
	}
	return value, engine.Form(newForm), st
}

// Readable is the engine.Options.Readable of an engine that is served: what TAKE and SWAP can
// answer with.
func Readable(value []byte, form engine.Form) bool {
	return codec.IsText(value, codec.Form(form))
}

// appendFound appends the answer to an element of a command that answers with values, of
// which the engine has executed the operation with that index.
func (p *pipeline) appendFound(dst []byte, f framing, opcode codec.Opcode, arg *codec.Arg, index int) []byte {
	op := &p.batch.Ops[index]
	st := statuses[op.Status]
	if op.Status == engine.Found {
		st = codec.StatusOK
	}
	value, form := op.Value, codec.Form(op.Form)
	switch {
	case !opcode.Values().Has(st):
		if op.Status == engine.Refused {
			arg.Form = codec.FormBytes // so says the answer
		}
		p.countFailure(st)
		return f.appendStatus(dst, opcode, arg, st)
	case opcode.Effect() == codec.EffectDeadline:
		form, p.text = codec.FormJSON, append(p.text[:0], "null"...)
		if deadline := p.batch.Args(index).Deadline; deadline != 0 {
			p.text = strconv.AppendInt(p.text[:0], deadline-p.batch.Now, 10)
		}
		value = p.text
	case opcode.Effect() == codec.EffectIncr:
		form = codec.FormJSON // a string of digits is a number here
	}
	if !codec.IsText(value, form) {
		p.countFailure(codec.StatusTypeInvalid)
		return f.appendStatus(dst, opcode, arg, codec.StatusTypeInvalid)
	}
	arg.Status, arg.Form = st, form
	return f.appendValue(dst, opcode, arg, value)
}

// countFailure counts the answer of an element that the store has not executed.
func (p *pipeline) countFailure(st codec.Status) {
	const failures = 1<<codec.StatusTypeInvalid | 1<<codec.StatusValueDiffers | 1<<codec.StatusNotAnInteger | 1<<codec.StatusOutOfMemory
	if failures>>st&1 != 0 {
		p.count.Errors[elementKind(st)]++
	}
}

// identified is a framing whose answers have an id.
type identified struct {
	framing
	id   []byte
	text *[]byte // scratch
}

func (f *identified) appendStatus(dst []byte, op codec.Opcode, arg *codec.Arg, st codec.Status) []byte {
	return f.appendText(dst, codec.AppendResponse((*f.text)[:0], op, arg, st))
}

func (f *identified) appendValue(dst []byte, op codec.Opcode, arg *codec.Arg, value []byte) []byte {
	if op.Effect() != codec.EffectDeadline { // its value is in the scratch
		return f.appendText(dst, codec.AppendValue((*f.text)[:0], op, arg, value))
	}
	return f.appendText(dst, codec.AppendValue(nil, op, arg, value))
}

func (f *identified) appendText(dst, text []byte) []byte {
	*f.text = codec.AppendID(text, 0, f.id)
	return f.framing.appendText(dst, *f.text)
}
