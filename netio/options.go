package netio

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"time"

	"keyframe/codec"
	"keyframe/engine/journal"
	"keyframe/netio/access"
)

// Defaults of Options: those of PROTOCOL.md sections 1 and 6, where it names one.
const (
	DefaultListen           = "127.0.0.1:1987"
	DefaultMaxFrameBytes    = 16 << 20
	DefaultMaxConns         = 10_000
	DefaultMaxOutputBytes   = 64 << 20
	DefaultMaxBufferBytes   = 1 << 30
	DefaultPingInterval     = 60 * time.Second
	DefaultHandshakeTimeout = 30 * time.Second
	DefaultOutputTimeout    = 60 * time.Second
	DefaultStopTimeout      = 4 * time.Second
)

const (
	// The largest MaxFrameBytes: offsets into a frame and its responses stay
	// far from what an int of 32 bits could hold.
	maxMaxFrameBytes = 256 << 20
	// gnet starts no more than this.
	maxLoops = 256
)

// Options configure a Server. The zero value means the defaults.
type Options struct {
	// Listen are the addresses to serve: "host:port", "tcp://host:port", "tls://host:port" or
	// "unix:///path". Port 0 means any free port; see Server.Addrs.
	Listen []string
	// TLSCert is a file with the certificate for the tls:// ones and those between it and the
	// root, TLSKey one with its private key, both in PEM. They are read again when they
	// change; see Server.ReloadCertificates.
	TLSCert, TLSKey string
	// TLSClientCA is a file with the roots of clients' certificates; "": clients are not asked
	// for one. With TLSClientOptional they may have none, but not a bad one.
	TLSClientCA       string
	TLSClientOptional bool
	// TLSMin is the least version of TLS: tls.VersionTLS12 or tls.VersionTLS13.
	TLSMin uint16
	// UnixMode is the permissions of the sockets of "unix:///path"; 0 leaves them to the
	// umask.
	UnixMode fs.FileMode
	// Loops is the number of event loops, at most 256; 0 means three for every four CPUs
	// that Go may use, one at least.
	Loops int
	// AllowOrigins are the origins whose pages may use the server, beside the server's
	// own: "https://example.com", "null", or "*" for all.
	AllowOrigins []string
	// AnyValues accepts null, objects and arrays as values.
	AnyValues bool
	// StrictText refuses binary WebSocket messages, which are served as text otherwise.
	StrictText bool
	// MinKeyChars is the least number of characters that a key has; 0 means 6, and 1 for the
	// clients of Redis's protocol.
	MinKeyChars int
	minKeyRESP  int

	MaxFrameBytes    int           // of a message or a line, without its framing
	MaxConns         int           // open connections
	MaxOutputBytes   int           // responses that one client has not read yet
	MaxBufferBytes   int           // input and output of all connections
	IdleTimeout      time.Duration // without a byte sent or an answer read by the client; 0: none
	PingInterval     time.Duration // a WebSocket's silence until it is pinged, and its time to answer
	HandshakeTimeout time.Duration // from the first byte to the choice of a framing, upgrade included
	OutputTimeout    time.Duration // with more than half of MaxOutputBytes unread
	StopTimeout      time.Duration // how long Stop lets clients take their answers

	// Journal keeps the store on disk, if it isn't nil: then Start has to be followed by Load.
	// It must be open; the engine must have been made with RecordEffects.
	Journal *journal.Journal

	// Users are who may use the server; nil: anybody may do anything. See Server.SetUsers.
	Users *access.Users

	// Version is the version in SERVER_INFO's answer.
	Version string
	// Logger takes the server's log; nil means slog.Default().
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if len(o.Listen) == 0 {
		o.Listen = []string{DefaultListen}
	}
	setDefault(&o.Loops, defaultLoops(runtime.GOMAXPROCS(0)))
	setDefault(&o.minKeyRESP, max(1, o.MinKeyChars)) // before that has its default
	setDefault(&o.MinKeyChars, codec.DefaultMinKeyChars)
	setDefault(&o.MaxFrameBytes, DefaultMaxFrameBytes)
	setDefault(&o.MaxConns, DefaultMaxConns)
	setDefault(&o.MaxOutputBytes, DefaultMaxOutputBytes)
	setDefault(&o.MaxBufferBytes, max(DefaultMaxBufferBytes, LeastBufferBytes(o.MaxFrameBytes)))
	setDefault(&o.PingInterval, DefaultPingInterval)
	setDefault(&o.HandshakeTimeout, DefaultHandshakeTimeout)
	setDefault(&o.OutputTimeout, DefaultOutputTimeout)
	setDefault(&o.StopTimeout, DefaultStopTimeout)
	setDefault(&o.TLSMin, tls.VersionTLS12)
	setDefault(&o.Version, "unknown")
	setDefault(&o.Logger, slog.Default())
	return o
}

// LeastBufferBytes is the least MaxBufferBytes for frames of so many bytes: room for four,
// since a client alone may have a part of it only.
func LeastBufferBytes(maxFrameBytes int) int { return 4*maxFrameBytes + minBudget }

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// OptionError is a fault of one field of Options: what it holds, and what it may
// hold. Several faults come joined, as errors.Join does it.
type OptionError struct {
	Field string // its name in Options
	Value any    // what it is; one address of Listen
	Want  string // what it may be, such as "1 to 256"
}

func (e *OptionError) Error() string {
	if text, ok := e.Value.(string); ok {
		return fmt.Sprintf("netio: %s is %q, want %s", e.Field, text, e.Want)
	}
	return fmt.Sprintf("netio: %s is %v, want %s", e.Field, e.Value, e.Want)
}

// defaultLoops leaves a part of the CPUs to what isn't a loop: the kernel's side of the
// network, the store's maintainer, the collector, and clients on the same machine. A loop
// for each of two CPUs sleeps and wakes ten times as often, for a command or two each
// time, and takes turns with its clients; one finds more when it wakes. doc.go has the
// figures.
func defaultLoops(procs int) int {
	return min(max(procs-max(procs/4, 1), 1), maxLoops)
}

// validate reports all faults of o in one error.
func (o Options) validate() error {
	var faults []error
	inRange := func(field string, value, low, high int) {
		if value < low || value > high {
			faults = append(faults, &OptionError{field, value, fmt.Sprintf("%d to %d", low, high)})
		}
	}
	positive := func(field string, d time.Duration) {
		if d <= 0 {
			faults = append(faults, &OptionError{field, d, "more than 0"})
		}
	}
	secure := false
	for _, address := range o.Listen {
		network, _, err := ParseAddress(address)
		if err != nil {
			faults = append(faults, err)
		}
		secure = secure || network == "tls"
	}
	if err := o.validateTLS(secure); err != nil {
		faults = append(faults, err)
	}
	for _, origin := range o.AllowOrigins {
		if !isOrigin(origin) {
			faults = append(faults, &OptionError{"AllowOrigins", origin, "an origin such as https://example.com, null, or * for all"})
		}
	}
	inRange("Loops", o.Loops, 1, maxLoops)
	inRange("MinKeyChars", o.MinKeyChars, 1, codec.MaxMinKeyChars)
	inRange("MaxFrameBytes", o.MaxFrameBytes, 64, maxMaxFrameBytes)
	inRange("MaxConns", o.MaxConns, 1, 1<<20)
	inRange("MaxOutputBytes", o.MaxOutputBytes, 1024, 1<<40)
	if least := LeastBufferBytes(o.MaxFrameBytes); o.MaxBufferBytes < least || o.MaxBufferBytes > 1<<40 {
		faults = append(faults, &OptionError{"MaxBufferBytes", o.MaxBufferBytes, fmt.Sprintf("%d (for four frames) to %d", least, 1<<40)})
	}
	if o.IdleTimeout < 0 {
		faults = append(faults, &OptionError{"IdleTimeout", o.IdleTimeout, "0 or more"})
	}
	positive("PingInterval", o.PingInterval)
	positive("HandshakeTimeout", o.HandshakeTimeout)
	positive("OutputTimeout", o.OutputTimeout)
	positive("StopTimeout", o.StopTimeout)
	return errors.Join(faults...)
}
