package codec

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
	// written with escapes, the decoder's scratch. Of a key whose text has more than six
	// times the bytes that a key may have, it is the text as it was written.
	Key []byte
	// Value is the text of a pair's value, aliasing the payload, or the new key
	// of a rename, unescaped like Key. Otherwise it is nil.
	Value []byte
	// Pos is the offset of the element in the payload: a Command with this
	// Next makes DecodeFrom begin with it.
	Pos int
	// Status is StatusOK for an element that is to be executed. Otherwise it
	// is the answer: KeyLengthInvalid or TypeInvalid.
	Status Status

	flags argFlags
}

type argFlags uint8

const (
	keyNeedsEscape   argFlags = 1 << iota // Key was written with escapes
	valueNeedsEscape                      // so was the new key in Value
)

// Command is what a payload holds, without its elements.
type Command struct {
	Op   Opcode
	More bool // there are more elements than Decode was to take
	Next int  // the offset of the first of them, for DecodeFrom
}
