package codec

// Opcode is a command's name as a number.
type Opcode uint8

// The commands, in the order of the wire contract. 0 is no command.
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

	// NumOpcodes is the length of an array that is indexed by Opcode.
	NumOpcodes = int(OpServerInfo) + 1
)

// shape is what a command takes as its argument.
type shape uint8

const (
	shapePairs   shape = iota + 1 // an object of keys and values
	shapeKeys                     // an array of keys
	shapeRenames                  // an array of one-member objects {"old":"new"}
	shapeEmpty                    // an empty object
)

// opening is the byte that an argument of the shape begins with.
func (s shape) opening() byte {
	if s == shapeKeys || s == shapeRenames {
		return '['
	}
	return '{'
}

// closing is the byte that it ends with.
func (s shape) closing() byte { return s.opening() + 2 } // ASCII: '{'+2 is '}', '['+2 is ']'

// commands says what there is to know of each opcode.
var commands = [NumOpcodes]struct {
	name  string
	shape shape
}{
	OpSet:        {"SET", shapePairs},
	OpSetQ:       {"SETQ", shapePairs},
	OpAdd:        {"ADD", shapePairs},
	OpAddQ:       {"ADDQ", shapePairs},
	OpGet:        {"GET", shapeKeys},
	OpRemove:     {"RMV", shapeKeys},
	OpContains:   {"CONTAINS", shapeKeys},
	OpRename:     {"RNM_KEY", shapeRenames},
	OpCount:      {"COUNT", shapeEmpty},
	OpClear:      {"CLEAR", shapeEmpty},
	OpServerInfo: {"SERVER_INFO", shapeEmpty},
}

// takes describes each shape in words, for the refusal of any other.
var takes = [...]string{
	shapePairs:   "takes an object of keys and values",
	shapeKeys:    "takes an array of keys",
	shapeRenames: `takes an array of objects {"old key":"new key"}`,
	shapeEmpty:   "takes an empty object",
}

// String returns the command's name on the wire.
func (o Opcode) String() string {
	if int(o) < NumOpcodes && o != 0 {
		return commands[o].name
	}
	return "unknown"
}

// lookup returns the opcode of a command's name, 0 when there is none. A switch
// over constant strings is compiled to a search by length and content.
func lookup(name []byte) Opcode {
	switch string(name) {
	case "SET":
		return OpSet
	case "SETQ":
		return OpSetQ
	case "ADD":
		return OpAdd
	case "ADDQ":
		return OpAddQ
	case "GET":
		return OpGet
	case "RMV":
		return OpRemove
	case "CONTAINS":
		return OpContains
	case "RNM_KEY":
		return OpRename
	case "COUNT":
		return OpCount
	case "CLEAR":
		return OpClear
	case "SERVER_INFO":
		return OpServerInfo
	}
	return 0
}

// Status is a status number of the wire ("st").
type Status uint8

// The status numbers.
const (
	StatusOK                   Status = 0
	StatusKeySet               Status = 1
	StatusKeyUpdated           Status = 2
	StatusKeyNotExist          Status = 3
	StatusKeyExists            Status = 4
	StatusKeyRemoved           Status = 5
	StatusKeyLengthInvalid     Status = 6
	StatusTypeInvalid          Status = 7
	StatusQueryRootInvalidType Status = 12
	StatusOutOfMemory          Status = 14
)

// Arg is one element of a command: a pair of SET, a key of GET, a rename.
type Arg struct {
	// Key is the key, unescaped. It aliases the payload or, when the key was
	// written with escapes, the decoder's scratch.
	Key []byte
	// Value is the text of a SET's value, aliasing the payload, or the new
	// key of a rename, unescaped like Key. Else it is nil.
	Value []byte
	// Pos is the offset of the element in the payload: a Command with this
	// Next makes DecodeFrom begin with it.
	Pos int
	// Status is StatusOK for an element that is to be executed. Else the
	// codec has decided already: KeyLengthInvalid or TypeInvalid.
	Status Status

	flags argFlags
}

type argFlags uint8

const (
	keyNeedsEscape   argFlags = 1 << iota // Key was written with escapes
	valueNeedsEscape                      // so was the new key in Value
)

// Command is what a payload holds, but for its elements.
type Command struct {
	Op   Opcode
	More bool // there are more elements than were asked for
	Next int  // the offset of the first of them, for DecodeFrom
}
