package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"time"
)

// Retry says which commands are sent once more when the connection was lost before their
// answers came. What was not sent at all is always sent, over the next connection.
type Retry uint8

const (
	// RetryNothing leaves it to the caller, who is told by ConnError.MayHaveRun.
	RetryNothing Retry = iota
	// RetryReads repeats commands that change nothing: Get, TTL, Contains, Count, Scan, Ping,
	// and batches of such.
	RetryReads
	// RetryAll repeats any command. One that had run runs twice: an Incr may count twice, an
	// Add may find its own key, a Take may find nothing.
	RetryAll
)

// Options are how a client connects and what it holds. The zero value is right for a
// server without users and TLS.
type Options struct {
	// User and Password, or Token, are who the client is to a server with users. It says so
	// at each connect.
	User, Password string
	Token          string

	// TLS makes the connection one over TLS: with the server's name, if that is "", taken
	// from the address. nil: none.
	TLS *tls.Config

	// ConnectTimeout bounds one attempt to connect, AUTH included. Default: 5 s.
	ConnectTimeout time.Duration
	// MinBackoff and MaxBackoff are the waits between attempts to connect again: the first,
	// doubled with each failure, up to the other. Each is shortened by a random part of at
	// most half, so that clients don't come back all at once. Default: 20 ms and 5 s.
	MinBackoff, MaxBackoff time.Duration
	// Outage is how long calls wait for a lost connection to come back. After that they get
	// a ConnError at once, until it is back. Default: 5 s; negative: they don't wait.
	Outage time.Duration
	// Silence is how long the server may send nothing while it owes an answer; then the
	// connection is taken for lost. It must be longer than the longest Save. Default: 1 min.
	Silence time.Duration

	// Retry says what is sent again when it may have run, and MaxRetries how often at most.
	// Default: nothing, and 3.
	Retry      Retry
	MaxRetries int

	// MaxInFlight is how many keys may wait for their answers, and MaxPendingBytes how much
	// text for the socket to take it, of all calls together. Calls wait for room; one that
	// alone is more than that waits until it is alone. Default: 65,536 and 4 MiB.
	MaxInFlight     int
	MaxPendingBytes int

	// MaxFrameBytes is the longest command, the server's --max-frame, and MaxAnswerBytes the
	// longest answer that is believed. Default: 16 MiB and 128 MiB: APPENDs may make a value
	// longer than a command.
	MaxFrameBytes  int
	MaxAnswerBytes int
}

// An OptionError is a fault of one field of Options: what it holds, and what it may hold.
type OptionError struct {
	Field string
	Value any
	Want  string
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("keyframe: %s is %v, want %s", e.Field, e.Value, e.Want)
}

// Option returns the fields, as the OptionErrors of other packages do.
func (e *OptionError) Option() (field string, value any, want string) {
	return e.Field, e.Value, e.Want
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o Options) withDefaults() Options {
	setDefault(&o.ConnectTimeout, 5*time.Second)
	setDefault(&o.MinBackoff, 20*time.Millisecond)
	setDefault(&o.MaxBackoff, 5*time.Second)
	setDefault(&o.Outage, 5*time.Second)
	setDefault(&o.Silence, time.Minute)
	setDefault(&o.MaxRetries, 3)
	setDefault(&o.MaxInFlight, 1<<16)
	setDefault(&o.MaxPendingBytes, 4<<20)
	setDefault(&o.MaxFrameBytes, 16<<20)
	setDefault(&o.MaxAnswerBytes, 128<<20)
	return o
}

// validate returns the faults of o, each an *OptionError, as one error.
func (o Options) validate() error {
	var faults []error
	fault := func(wrong bool, field string, value any, want string) {
		if wrong {
			faults = append(faults, &OptionError{field, value, want})
		}
	}
	fault(o.Token != "" && o.User != "", "Token", "set", "either a token or a user")
	fault(o.Password != "" && o.User == "", "Password", "set", "a user with it")
	fault(o.ConnectTimeout < 0, "ConnectTimeout", o.ConnectTimeout, "a time")
	fault(o.MinBackoff < 0, "MinBackoff", o.MinBackoff, "a time")
	fault(o.MaxBackoff < o.MinBackoff, "MaxBackoff", o.MaxBackoff, "MinBackoff or more")
	fault(o.Silence < 0, "Silence", o.Silence, "a time")
	fault(o.Retry > RetryAll, "Retry", o.Retry, "RetryNothing, RetryReads or RetryAll")
	inRange := func(field string, value, low int) {
		fault(value < low || value > math.MaxInt32, field, value, fmt.Sprintf("%d to %d", low, math.MaxInt32))
	}
	inRange("MaxRetries", o.MaxRetries, 1)
	inRange("MaxInFlight", o.MaxInFlight, 1)
	inRange("MaxPendingBytes", o.MaxPendingBytes, 1)
	inRange("MaxFrameBytes", o.MaxFrameBytes, 1<<10)
	inRange("MaxAnswerBytes", o.MaxAnswerBytes, 1<<10)
	return errors.Join(faults...)
}
