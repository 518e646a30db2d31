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
	StatusValueDiffers         Status = 8
	StatusNotAnInteger         Status = 9
	StatusQueryRootInvalidType Status = 12
	StatusDenied               Status = 13
	StatusOutOfMemory          Status = 14
	StatusUnavailable          Status = 15

	numStatuses = int(StatusUnavailable) + 1
)

// Form is how the bytes of a value are to be read.
type Form uint8

// The forms.
const (
	FormJSON   Form = iota // JSON text as it was written
	FormString             // the inside of a JSON string without escapes
	FormBytes              // bytes that are no such inside: as a string, they have to be escaped
	FormUpdate             // no value: the argument of an UPDATE, for Merge
)

// Arg is one element of a command: a pair of SET, a key of GET, a rename.
type Arg struct {
	// Key is the key, unescaped. It aliases the payload or, when the key was
	// written with escapes, the decoder's scratch. Of a key whose text has more than six
	// times the bytes that a key may have, it is the text as it was written.
	Key []byte
	// Value is a pair's value, aliasing the payload, or the new key of a rename,
	// unescaped like Key. Otherwise it is nil. Of a string without escapes it is the
	// inside, which Form says.
	Value []byte
	// Pos is the offset of the element in the payload: a Command with this
	// Next makes DecodeFrom begin with it.
	Pos int

	second uint32 // of a comparison: where the new value begins in Value

	// Status is StatusOK for an element that is to be executed. Otherwise it
	// is the answer: KeyLengthInvalid or TypeInvalid.
	Status Status
	flags  argFlags
	Form   Form
}

type argFlags uint8

const (
	keyNeedsEscape   argFlags = 1 << iota // Key was written with escapes
	valueNeedsEscape                      // so was the new key in Value
)

// Command is what a payload holds, without its elements.
type Command struct {
	Op    Opcode
	More  bool   // there are more elements than Decode was to take
	Next  int    // the offset of the first of them, for DecodeFrom
	Extra *Extra // what only some commands have; nil: nothing
}
