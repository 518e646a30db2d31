package codec

import (
	"errors"
	"fmt"
)

// Defaults and rules of the wire contract.
const (
	DefaultMaxKeyBytes = 65_535
	DefaultMaxDepth    = 128
	minKeyChars        = 6
	maxMaxDepth        = 4000 // sonic's own recursion ends at 4,096
)

// Options configure a Decoder. The zero value means the defaults.
type Options struct {
	AnyValues   bool // null, objects and arrays are values too
	MaxKeyBytes int  // of a key, unescaped
	MaxDepth    int  // of nested arrays and objects
}

func (o Options) withDefaults() Options {
	if o.MaxKeyBytes == 0 {
		o.MaxKeyBytes = DefaultMaxKeyBytes
	}
	if o.MaxDepth == 0 {
		o.MaxDepth = DefaultMaxDepth
	}
	return o
}

// validate reports all faults of o in one error.
func (o Options) validate() error {
	var faults []error
	if o.MaxKeyBytes < minKeyChars {
		faults = append(faults, fmt.Errorf("codec: MaxKeyBytes is %d, want %d or more", o.MaxKeyBytes, minKeyChars))
	}
	if o.MaxDepth < 1 || o.MaxDepth > maxMaxDepth {
		faults = append(faults, fmt.Errorf("codec: MaxDepth is %d, want 1 to %d", o.MaxDepth, maxMaxDepth))
	}
	return errors.Join(faults...)
}
