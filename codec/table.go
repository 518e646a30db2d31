package codec

import (
	"fmt"
	"iter"
	"math/bits"
)

// This file is the command table: one row a command. All that is to be known of a
// command is in its row or made from it. So a command like one that exists is an opcode
// and a row here, a test, and a line of PROTOCOL.md section 4. Commands are listed in
// the order of the opcodes; nothing else depends on it.

// Opcode is a command's name as a number.
type Opcode uint8

// The commands. 0 is no command.
const (
	OpSet Opcode = iota + 1
	OpSetQ
	OpAdd
	OpAddQ
	OpGet
	OpRemove
	OpContains
	OpRename
	OpCount
	OpClear
	OpServerInfo

	opSpare // its row is empty: a test adds a command there

	// NumOpcodes is the length of an array that is indexed by Opcode. To list the
	// commands, use Opcodes.
	NumOpcodes = int(opSpare) + 1
)

// row is a command.
type row struct {
	name    string
	shape   Shape     // what it takes
	quiet   bool      // an element is answered only with what is in answers or values
	effect  Effect    // what it does to the store
	reply   Reply     // what its answers look like
	answers StatusSet // an element's statuses that are answered with its key
	values  StatusSet // those that are answered with its key and value, one at most
}

// invalid are the statuses of elements that the codec itself refuses.
const invalid = 1<<StatusKeyLengthInvalid | 1<<StatusTypeInvalid

// table is indexed by Opcode.
var table = [NumOpcodes]row{
	OpSet: {name: "SET", shape: ShapePairs, effect: EffectStore,
		answers: invalid | 1<<StatusKeySet | 1<<StatusKeyUpdated | 1<<StatusOutOfMemory},
	OpSetQ: {name: "SETQ", shape: ShapePairs, effect: EffectStore, quiet: true,
		answers: invalid | 1<<StatusOutOfMemory},
	OpAdd: {name: "ADD", shape: ShapePairs, effect: EffectStoreNew,
		answers: invalid | 1<<StatusKeySet | 1<<StatusKeyExists | 1<<StatusOutOfMemory},
	OpAddQ: {name: "ADDQ", shape: ShapePairs, effect: EffectStoreNew, quiet: true,
		answers: invalid | 1<<StatusKeyExists | 1<<StatusOutOfMemory},
	OpGet: {name: "GET", shape: ShapeKeys, effect: EffectRead,
		answers: invalid | 1<<StatusKeyNotExist, values: 1 << StatusOK},
	OpRemove: {name: "RMV", shape: ShapeKeys, effect: EffectRemove,
		answers: invalid | 1<<StatusKeyRemoved | 1<<StatusKeyNotExist},
	OpContains: {name: "CONTAINS", shape: ShapeKeys, effect: EffectContains,
		answers: invalid | 1<<StatusKeyExists | 1<<StatusKeyNotExist},
	OpRename: {name: "RNM_KEY", shape: ShapeRenames, effect: EffectRename,
		answers: invalid | 1<<StatusKeySet | 1<<StatusKeyNotExist | 1<<StatusKeyExists | 1<<StatusOutOfMemory},
	OpCount:      {name: "COUNT", shape: ShapeNothing, effect: EffectCount, reply: ReplyCount},
	OpClear:      {name: "CLEAR", shape: ShapeNothing, effect: EffectClear, reply: ReplyCount},
	OpServerInfo: {name: "SERVER_INFO", shape: ShapeNothing, effect: EffectServerInfo, reply: ReplyMembers},
}

// Shape is what a command takes as its argument.
type Shape uint8

// The shapes. To be decoded, one needs a case in Decoder.elements.
const (
	ShapePairs   Shape = iota + 1 // an object of keys and values
	ShapeKeys                     // an array of keys
	ShapeRenames                  // an array of one-member objects {"old":"new"}
	ShapeNothing                  // an empty object
)

// takes describes each shape in words, for the refusal of any other.
var takes = [...]string{
	ShapePairs:   "takes an object of keys and values",
	ShapeKeys:    "takes an array of keys",
	ShapeRenames: `takes an array of objects {"old key":"new key"}`,
	ShapeNothing: "takes an empty object",
}

// opening is the byte that an argument of the shape begins with.
func (s Shape) opening() byte {
	if s == ShapeKeys || s == ShapeRenames {
		return '['
	}
	return '{'
}

// closing is the byte that it ends with.
func (s Shape) closing() byte { return s.opening() + 2 } // ASCII: '{'+2 is '}', '['+2 is ']'

// Effect is what a command does to the store. The codec makes no use of it: it
// is for the package that executes commands.
type Effect uint8

// The effects.
const (
	EffectStore    Effect = iota + 1 // store the value
	EffectStoreNew                   // store it if the key does not exist
	EffectRead                       // read the value
	EffectRemove                     // remove the key
	EffectContains                   // look whether the key exists
	EffectRename                     // give the value another key

	// Those are about the whole store.
	EffectCount      // count the keys
	EffectClear      // remove them all
	EffectServerInfo // describe the server

	// NumEffects is the length of an array that is indexed by Effect.
	NumEffects = int(EffectServerInfo) + 1
)

// Writes reports whether a command with this effect may change the store.
func (e Effect) Writes() bool {
	const writes = 1<<EffectStore | 1<<EffectStoreNew | 1<<EffectRemove | 1<<EffectRename | 1<<EffectClear
	return writes>>e&1 != 0
}

// Reply is the form of a command's answers.
type Reply uint8

// The replies.
const (
	ReplyElements Reply = iota // one for each element: AppendResponse, AppendValue
	ReplyCount                 // one with a number: AppendCount
	ReplyMembers               // one with members of its own: AppendMembers
)

// StatusSet is a set of statuses: bit n is status n.
type StatusSet uint32

// Has reports whether st is in the set.
func (s StatusSet) Has(st Status) bool { return s>>st&1 != 0 }

// Opcodes lists the commands.
func Opcodes() iter.Seq[Opcode] {
	return func(yield func(Opcode) bool) {
		for op := range Opcode(NumOpcodes) {
			if table[op].name != "" && !yield(op) {
				return
			}
		}
	}
}

// String returns the command's name on the wire.
func (o Opcode) String() string {
	if int(o) < NumOpcodes && table[o].name != "" {
		return table[o].name
	}
	return "unknown"
}

// The methods below panic for an opcode that is not less than NumOpcodes.

// Shape returns what the command takes.
func (o Opcode) Shape() Shape { return table[o].shape }

// Effect returns what the command does to the store, 0 for no command.
func (o Opcode) Effect() Effect { return table[o].effect }

// Reply returns what the command's answers look like.
func (o Opcode) Reply() Reply { return table[o].reply }

// Quiet reports whether a status that is neither in Answers nor in Values is not
// answered at all: the command answers only for what failed.
func (o Opcode) Quiet() bool { return table[o].quiet }

// Answers returns the statuses that an element's key may be answered with.
func (o Opcode) Answers() StatusSet { return table[o].answers }

// Values returns the statuses that its key and value may be answered with.
func (o Opcode) Values() StatusSet { return table[o].values }

// Texts are the fixed texts of a command, ready made for codec/client.
type Texts struct {
	Open     string // {"SET":{
	Close    string // }}
	Response string // {"SET_RSP":{"st":
}

// Texts returns the fixed texts of the command, which must not be changed.
func (o Opcode) Texts() *Texts { return &derived.texts[o] }

// derived is what is made from the table, once.
var derived = func() (d derivations) {
	for op := range Opcodes() {
		d.add(op)
	}
	return d
}()

type derivations struct {
	texts [NumOpcodes]Texts

	// The names as a hash table: the first opcode of each chain, and for each
	// opcode the next one.
	first [64]Opcode
	next  [NumOpcodes]Opcode

	// The beginnings of responses.
	status [NumOpcodes][numStatuses]prefix // {"SET_RSP":{"st":1,"k":" and nothing for a rename or a value's type
	value  [NumOpcodes]prefix              // {"GET_RSP":{"st":0,"
	rename [NumOpcodes]string              // {"RNM_KEY_RSP":{"
}

// add makes what is made from op's row.
func (d *derivations) add(op Opcode) {
	r := &table[op]
	d.texts[op] = Texts{
		Open:     fmt.Sprintf(`{"%s":%c`, r.name, r.shape.opening()),
		Close:    fmt.Sprintf(`%c}`, r.shape.closing()),
		Response: fmt.Sprintf(`{"%s_RSP":{"st":`, r.name),
	}
	h := hashName([]byte(r.name))
	d.next[op], d.first[h] = d.first[h], op
	if r.reply != ReplyElements {
		return // there are none, and SERVER_INFO's would not fit into a prefix
	}
	for st := range numStatuses {
		if r.shape == ShapeRenames && Status(st) != StatusTypeInvalid {
			continue // there is no k in it
		}
		if r.shape == ShapePairs && Status(st) == StatusTypeInvalid {
			continue // there is more than a k in it
		}
		d.status[op][st] = makePrefix(`%s%d,"k":"`, d.texts[op].Response, st)
	}
	if r.values != 0 {
		d.value[op] = makePrefix(`%s%d,"`, d.texts[op].Response, bits.TrailingZeros32(uint32(r.values)))
	}
	d.rename[op] = fmt.Sprintf(`{"%s_RSP":{"`, r.name)
}

// hashName chooses a name's chain by its length and three of its letters. The factors
// are tried out: they give each name a chain of its own.
func hashName(name []byte) uint {
	n := uint(len(name))
	if n == 0 {
		return 0
	}
	return (n + 5*uint(name[0]) + 17*uint(name[n/2]) + 5*uint(name[n-1])) % 64
}

// Lookup returns the opcode of a command's name, 0 when there is none.
func Lookup(name []byte) Opcode {
	op := derived.first[hashName(name)]
	for op != 0 && table[op].name != string(name) {
		op = derived.next[op]
	}
	return op
}
