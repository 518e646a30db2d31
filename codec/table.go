package codec

import (
	"fmt"
	"iter"
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

	OpPing
	OpSetEx
	OpSetExQ
	OpAddEx
	OpAddExQ
	OpExpire
	OpExpireQ
	OpTTL
	OpIncr
	OpIncrQ
	OpCompareSet
	OpCompareRemove
	OpTake
	OpSwap
	OpRemoveQ
	OpKeys
	OpAppend
	OpAppendQ
	OpUpdate
	OpUpdateQ
	OpFind
	OpClearSet
	OpSave
	OpAuth

	opSpare // its row is empty: a test adds a command there

	// NumOpcodes is the length of an array that is indexed by Opcode. To list the
	// commands, use Opcodes.
	NumOpcodes = int(opSpare) + 1
)

// row is a command.
type row struct {
	name    string
	shape   Shape     // what it takes
	class   Class     // what a user must be allowed to do
	quiet   bool      // an element is answered only with what is in answers or values
	effect  Effect    // what it does to the store
	reply   Reply     // what its answers look like
	answers StatusSet // an element's statuses that are answered with its key
	values  StatusSet // those that are answered with its key and value
}

// The statuses as sets.
const (
	ok          = 1 << StatusOK
	keySet      = 1 << StatusKeySet
	keyUpdated  = 1 << StatusKeyUpdated
	keyNotExist = 1 << StatusKeyNotExist
	keyExists   = 1 << StatusKeyExists
	keyRemoved  = 1 << StatusKeyRemoved
	differs     = 1 << StatusValueDiffers
	notInteger  = 1 << StatusNotAnInteger
	outOfMemory = 1 << StatusOutOfMemory

	// invalid are the statuses of elements that the codec itself refuses.
	invalid = 1<<StatusKeyLengthInvalid | 1<<StatusTypeInvalid
)

// table is indexed by Opcode.
var table = [NumOpcodes]row{
	OpSet: {name: "SET", shape: ShapePairs, class: ClassWrite, effect: EffectStore,
		answers: invalid | keySet | keyUpdated | outOfMemory},
	OpSetQ: {name: "SETQ", shape: ShapePairs, class: ClassWrite, effect: EffectStore, quiet: true,
		answers: invalid | outOfMemory},
	OpAdd: {name: "ADD", shape: ShapePairs, class: ClassWrite, effect: EffectStoreNew,
		answers: invalid | keySet | keyExists | outOfMemory},
	OpAddQ: {name: "ADDQ", shape: ShapePairs, class: ClassWrite, effect: EffectStoreNew, quiet: true,
		answers: invalid | keyExists | outOfMemory},
	OpGet: {name: "GET", shape: ShapeKeys, class: ClassRead, effect: EffectRead,
		answers: invalid | keyNotExist, values: ok},
	OpRemove: {name: "RMV", shape: ShapeKeys, class: ClassWrite, effect: EffectRemove,
		answers: invalid | keyRemoved | keyNotExist},
	OpContains: {name: "CONTAINS", shape: ShapeKeys, class: ClassRead, effect: EffectContains,
		answers: invalid | keyExists | keyNotExist},
	OpRename: {name: "RNM_KEY", shape: ShapeRenames, class: ClassRead | ClassWrite, effect: EffectRename,
		answers: invalid | keySet | keyNotExist | keyExists | outOfMemory},
	OpCount:      {name: "COUNT", shape: ShapeNothing, class: ClassScan, effect: EffectCount, reply: ReplyCount},
	OpClear:      {name: "CLEAR", shape: ShapeNothing, class: ClassAdmin, effect: EffectClear, reply: ReplyCount},
	OpServerInfo: {name: "SERVER_INFO", shape: ShapeNothing, class: ClassAdmin, effect: EffectServerInfo, reply: ReplyMembers},

	OpPing: {name: "PING", shape: ShapeNothing, effect: EffectPing, reply: ReplyMembers},
	OpSetEx: {name: "SETEX", shape: ShapeTimedPairs, class: ClassWrite, effect: EffectStore,
		answers: invalid | keySet | keyUpdated | outOfMemory},
	OpSetExQ: {name: "SETEXQ", shape: ShapeTimedPairs, class: ClassWrite, effect: EffectStore, quiet: true,
		answers: invalid | outOfMemory},
	OpAddEx: {name: "ADDEX", shape: ShapeTimedPairs, class: ClassWrite, effect: EffectStoreNew,
		answers: invalid | keySet | keyExists | outOfMemory},
	OpAddExQ: {name: "ADDEXQ", shape: ShapeTimedPairs, class: ClassWrite, effect: EffectStoreNew, quiet: true,
		answers: invalid | keyExists | outOfMemory},
	OpExpire: {name: "EXPIRE", shape: ShapeTimes, class: ClassWrite, effect: EffectExpire,
		answers: invalid | keyUpdated | keyNotExist | outOfMemory},
	OpExpireQ: {name: "EXPIREQ", shape: ShapeTimes, class: ClassWrite, effect: EffectExpire, quiet: true,
		answers: invalid | keyNotExist | outOfMemory},
	OpTTL: {name: "TTL", shape: ShapeKeys, class: ClassRead, effect: EffectDeadline,
		answers: invalid | keyNotExist, values: ok},
	OpIncr: {name: "INCR", shape: ShapeNumbers, class: ClassRead | ClassWrite, effect: EffectIncr,
		answers: invalid | notInteger | outOfMemory, values: keySet | keyUpdated},
	OpIncrQ: {name: "INCRQ", shape: ShapeNumbers, class: ClassWrite, effect: EffectIncr, quiet: true,
		answers: invalid | notInteger | outOfMemory},
	OpCompareSet: {name: "CAS", shape: ShapeComparisons, class: ClassRead | ClassWrite, effect: EffectCompareStore,
		answers: invalid | keySet | keyUpdated | keyNotExist | keyExists | differs | outOfMemory},
	OpCompareRemove: {name: "CAD", shape: ShapeExpected, class: ClassRead | ClassWrite, effect: EffectCompareRemove,
		answers: 1<<StatusKeyLengthInvalid | keyRemoved | keyNotExist | differs},
	OpTake: {name: "TAKE", shape: ShapeKeys, class: ClassRead | ClassWrite, effect: EffectTake,
		answers: invalid | keyNotExist, values: keyRemoved},
	OpSwap: {name: "SWAP", shape: ShapePairs, class: ClassRead | ClassWrite, effect: EffectSwap,
		answers: invalid | keySet | outOfMemory, values: keyUpdated},
	OpRemoveQ: {name: "RMVQ", shape: ShapeKeys, class: ClassWrite, effect: EffectRemove, quiet: true,
		answers: invalid | keyNotExist},
	OpKeys: {name: "KEYS", shape: ShapeQuery, class: ClassScan, effect: EffectKeys, reply: ReplyPage},
	OpAppend: {name: "APPEND", shape: ShapeAppends, class: ClassWrite, effect: EffectAppend,
		answers: invalid | keySet | keyUpdated | outOfMemory},
	OpAppendQ: {name: "APPENDQ", shape: ShapeAppends, class: ClassWrite, effect: EffectAppend, quiet: true,
		answers: invalid | outOfMemory},
	OpUpdate: {name: "UPDATE", shape: ShapeUpdates, class: ClassWrite, effect: EffectUpdate,
		answers: invalid | keyUpdated | keyNotExist | outOfMemory},
	OpUpdateQ: {name: "UPDATEQ", shape: ShapeUpdates, class: ClassWrite, effect: EffectUpdate, quiet: true,
		answers: invalid | keyNotExist | outOfMemory},
	OpFind: {name: "FIND", shape: ShapeSearch, class: ClassRead | ClassScan, effect: EffectKeys, reply: ReplyPage},
	OpClearSet: {name: "CLEAR_SET", shape: ShapePairs, class: ClassAdmin | ClassWrite, effect: EffectClearSet, reply: ReplyCountElements,
		answers: invalid | keySet | keyUpdated | outOfMemory},
	OpSave: {name: "SAVE", shape: ShapeNothing, class: ClassAdmin, effect: EffectSave, reply: ReplyMembers},
	OpAuth: {name: "AUTH", shape: ShapeCredentials, effect: EffectAuth, reply: ReplyMembers},
}

// Class is what a user must be allowed to do for a command: a set. A command that needs none
// is anybody's.
type Class uint8

// The classes. Read and write are about each key of a command, scan is about the prefix that
// it asks for.
const (
	ClassRead  Class = 1 << iota // it tells what a key's value is
	ClassWrite                   // it changes a key
	ClassScan                    // it tells which keys there are
	ClassAdmin                   // it is about the store as a whole, or the server
)

// Shape is what a command takes as its argument.
type Shape uint8

// The shapes. To be decoded, one needs a case in Decoder.elements; one whose values are of
// a kind of their own, in Decoder.judge. Those from ShapeUpdates on are looked at by
// Decoder.whole first.
const (
	ShapePairs       Shape = iota + 1 // an object of keys and values
	ShapeKeys                         // an array of keys
	ShapeRenames                      // an array of one-member objects {"old":"new"}
	ShapeNothing                      // an empty object
	ShapeTimes                        // an object of keys and milliseconds, or null
	ShapeNumbers                      // an object of keys and whole numbers
	ShapeComparisons                  // an object of keys and [expected, new]
	ShapeExpected                     // an object of keys and the values that are expected
	ShapeAppends                      // an object of keys and what is to be appended
	ShapeUpdates                      // an object of keys and objects of pointers and values
	ShapeTimedPairs                   // an object with a ttl and pairs
	ShapeQuery                        // what is to be listed
	ShapeSearch                       // the same, and what is looked for
	ShapeCredentials                  // a user and a password, or a token

	numShapes = int(ShapeCredentials) + 1
)

// takes describes each shape in words, for the refusal of any other.
var takes = [numShapes]string{
	ShapePairs:       "takes an object of keys and values",
	ShapeKeys:        "takes an array of keys",
	ShapeRenames:     `takes an array of objects {"old key":"new key"}`,
	ShapeNothing:     "takes an empty object",
	ShapeTimedPairs:  `takes {"ttl":<1 to 10000000000000 ms>,"pairs":{…}}`,
	ShapeTimes:       "takes an object of keys and milliseconds, or null",
	ShapeNumbers:     "takes an object of keys and whole numbers",
	ShapeComparisons: "takes an object of keys and [expected,new]",
	ShapeExpected:    "takes an object of keys and expected values",
	ShapeAppends:     "takes an object of keys and what is appended",
	ShapeUpdates:     "takes an object of keys and objects of JSON Pointers and values",
	ShapeQuery:       `takes an object of "prefix", "limit", "cursor" and "values"`,
	ShapeSearch:      `takes an object of "path", one of == != < <= > >=, "prefix", "limit", "cursor" and "values"`,
	ShapeCredentials: `takes {"user":"…","password":"…"} or {"token":"…"}, of 4 KiB at most`,
}

// mistyped says what an element takes, to one whose value is of another type.
var mistyped = [numShapes]string{
	ShapePairs:       "null, objects and arrays are values only with --values any",
	ShapeTimedPairs:  "null, objects and arrays are values only with --values any",
	ShapeTimes:       "a time is 1 to 10000000000000 milliseconds, or null",
	ShapeNumbers:     "an increment is a whole number of 64 bits",
	ShapeComparisons: "a comparison is [expected,new]; null, objects and arrays are stored only with --values any",
	ShapeAppends:     "strings are appended to strings, and with --values any arrays to arrays and objects to objects; the result has at most 16 MiB",
	ShapeUpdates:     "places in an object or array are set, by JSON Pointers whose parents exist; the result has at most 16 MiB, and the length of the value times the places is at most 32 MiB",
}

// isMembers reports whether the elements are members of an object.
func (s Shape) isMembers() bool {
	const members = 1<<ShapePairs | 1<<ShapeTimedPairs | 1<<ShapeTimes | 1<<ShapeNumbers |
		1<<ShapeComparisons | 1<<ShapeExpected | 1<<ShapeAppends | 1<<ShapeUpdates
	return members>>s&1 != 0
}

// isQuery reports whether the argument has no elements: it is one question.
func (s Shape) isQuery() bool { return s >= ShapeQuery }

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
	EffectStore         Effect = iota + 1 // store the value, until its deadline if there is one
	EffectStoreNew                        // store it if the key does not exist
	EffectRead                            // read the value
	EffectRemove                          // remove the key
	EffectContains                        // look whether the key exists
	EffectRename                          // give the value another key
	EffectExpire                          // give it a deadline, or none
	EffectDeadline                        // read its deadline
	EffectIncr                            // add to the number
	EffectCompareStore                    // store the value if the old one is the expected one
	EffectCompareRemove                   // remove the key if the value is the expected one
	EffectTake                            // read the value and remove the key
	EffectSwap                            // store the value and read the old one
	EffectAppend                          // append to the value
	EffectUpdate                          // set places in the value

	// Those are about the whole store.
	EffectCount      // count the keys
	EffectClear      // remove them all
	EffectServerInfo // describe the server
	EffectPing       // nothing
	EffectKeys       // list keys
	EffectClearSet   // remove all keys and store the pairs
	EffectSave       // have a snapshot of it on disk
	EffectAuth       // say who the client is

	// NumEffects is the length of an array that is indexed by Effect.
	NumEffects = int(EffectAuth) + 1
)

// Writes reports whether a command with this effect may change the store.
func (e Effect) Writes() bool {
	const writes = 1<<EffectStore | 1<<EffectStoreNew | 1<<EffectRemove | 1<<EffectRename | 1<<EffectClear |
		1<<EffectExpire | 1<<EffectIncr | 1<<EffectCompareStore | 1<<EffectCompareRemove | 1<<EffectTake |
		1<<EffectSwap | 1<<EffectAppend | 1<<EffectUpdate | 1<<EffectClearSet
	return writes>>e&1 != 0
}

// Reply is the form of a command's answers.
type Reply uint8

// The replies.
const (
	ReplyElements      Reply = iota // one for each element: AppendResponse, AppendValue
	ReplyCount                      // one with a number: AppendCount
	ReplyMembers                    // one with members of its own: AppendMembers
	ReplyPage                       // one with keys: Page
	ReplyCountElements              // one with a number, and then one for each element
)

// hasElements reports whether elements are answered.
func (r Reply) hasElements() bool { return r == ReplyElements || r == ReplyCountElements }

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

// Class returns what a user must be allowed to do for the command, 0 for nothing.
func (o Opcode) Class() Class { return table[o].class }

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
	value  [NumOpcodes][numStatuses]prefix // {"GET_RSP":{"st":0,"
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
	if r.shape == ShapeTimedPairs {
		d.texts[op].Open += `"ttl":`
		d.texts[op].Close = `}` + d.texts[op].Close
	}
	h := hashName([]byte(r.name))
	d.next[op], d.first[h] = d.first[h], op
	if !r.reply.hasElements() {
		return // there are none, and SERVER_INFO's would not fit into a prefix
	}
	for st := range numStatuses {
		if r.values.Has(Status(st)) {
			d.value[op][st] = makePrefix(`%s%d,"`, d.texts[op].Response, st)
		}
		if r.shape == ShapeRenames && Status(st) != StatusTypeInvalid {
			continue // there is no k in it
		}
		if mistyped[r.shape] != "" && Status(st) == StatusTypeInvalid {
			continue // there is more than a k in it
		}
		d.status[op][st] = makePrefix(`%s%d,"k":"`, d.texts[op].Response, st)
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
