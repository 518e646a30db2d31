package codec

import (
	"errors"
	"fmt"
	"math"
)

// Defaults and rules of PROTOCOL.md sections 3 and 6.
const (
	DefaultMaxKeyBytes = 65_535
	DefaultMaxDepth    = 128
	DefaultMinKeyChars = 6
	maxMaxDepth        = 4000 // sonic's own recursion ends at 4,096

	// MaxMinKeyChars is the most that Options.MinKeyChars may be. A key of so many
	// characters is never too long, whatever they are.
	MaxMinKeyChars = 1024
)

// Options configure a Decoder. The zero value means the defaults.
type Options struct {
	AnyValues   bool // null, objects and arrays are values too
	MinKeyChars int  // of a key, unescaped, in characters
	MaxKeyBytes int  // of a key, unescaped
	MaxDepth    int  // of nested arrays and objects
}

func (o Options) withDefaults() Options {
	if o.MinKeyChars == 0 {
		o.MinKeyChars = DefaultMinKeyChars
	}
	if o.MaxKeyBytes == 0 {
		o.MaxKeyBytes = DefaultMaxKeyBytes
	}
	if o.MaxDepth == 0 {
		o.MaxDepth = DefaultMaxDepth
	}
	return o
}

// validate returns the faults of o, each an *OptionError, as one error.
func (o Options) validate() error {
	var faults []error
	inRange := func(field string, value, low, high int, want string) {
		if value < low || value > high {
			faults = append(faults, &OptionError{field, value, want})
		}
	}
	inRange("MinKeyChars", o.MinKeyChars, 1, MaxMinKeyChars, fmt.Sprintf("1 to %d", MaxMinKeyChars))
	inRange("MaxKeyBytes", o.MaxKeyBytes, max(1, o.MinKeyChars), math.MaxInt, "MinKeyChars or more")
	inRange("MaxDepth", o.MaxDepth, 1, maxMaxDepth, fmt.Sprintf("1 to %d", maxMaxDepth))
	return errors.Join(faults...)
}

// An OptionError is a fault of one field of Options.
type OptionError struct {
	Field string
	Value any
	Want  string // what it should be, in words
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("codec: %s is %v, want %s", e.Field, e.Value, e.Want)
}

// Option returns the fields. The OptionErrors of other packages have it too, so that one
// interface finds them all in a chain of errors.
func (e *OptionError) Option() (field string, value any, want string) {
	return e.Field, e.Value, e.Want
}
