package load

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyframe/bench"
	"keyframe/netio/client"
)

// Kind is what a command does.
type Kind uint8

// The kinds of commands.
const (
	Set Kind = iota
	Add
	Get
	Remove
	Contains
	Incr // of a counter, by 1
	kinds
)

var kindNames = [kinds]string{"set", "add", "get", "rmv", "contains", "incr"}

func (k Kind) String() string { return kindNames[k] }

// Mix is how many of a hundred commands are of each kind.
type Mix [kinds]int

// ParseMix reads "set=95,get=5", or a single "set".
func ParseMix(text string) (Mix, error) {
	var m Mix
	var seen [kinds]bool
	for part := range strings.SplitSeq(text, ",") {
		name, share, found := strings.Cut(part, "=")
		kind := slices.Index(kindNames[:], strings.ToLower(name))
		if kind < 0 {
			return m, fmt.Errorf("no command %q: want some of %s", name, strings.Join(kindNames[:], ", "))
		}
		if seen[kind] {
			return m, fmt.Errorf("%s is twice in %q", kindNames[kind], text)
		}
		seen[kind] = true
		if !found {
			share = "100"
		}
		n, err := strconv.Atoi(share)
		if err != nil || n < 0 || n > 100 {
			return m, fmt.Errorf("the share %q of %s: want 0 to 100", share, name)
		}
		m[kind] = n
	}
	sum := 0
	for _, n := range m {
		sum += n
	}
	if sum != 100 {
		return m, fmt.Errorf("the shares of %q add up to %d, want 100", text, sum)
	}
	return m, nil
}

// String is the text that ParseMix reads, without commas: it is part of names.
func (m Mix) String() string {
	var parts []string
	for k, n := range m {
		switch {
		case n == 100:
			return Kind(k).String()
		case n > 0:
			parts = append(parts, fmt.Sprintf("%s%d", Kind(k), n))
		}
	}
	return strings.Join(parts, "+")
}

// Protocols are what a server may speak.
var Protocols = []string{"lines", "websocket", "resp", "memcached"}

// ValueTypes are what values may be.
var ValueTypes = []string{"string", "number", "bool"}

// Caps of the options: what a mistyped number could cost is bounded.
const (
	maxConns     = 100_000
	maxKeys      = 100_000
	maxDepth     = 100_000
	maxSpace     = 1 << 31
	maxValueSize = 16 << 20
	maxCommand   = 64 << 20
	maxRepeated  = 1 << 30             // bytes of the commands that are repeated
	maxTTL       = 30 * 24 * time.Hour // memcached takes more for a date
	maxCounter   = 18                  // digits of a counter to which much may be added
)

// Options describe a run. The zero value of a field means its default, where it
// has one.
type Options struct {
	Addr      string // host:port, or unix:///path; this machine and the protocol's port
	Protocol  string // one of Protocols
	Conns     int
	Threads   int
	Depth     int // commands in flight on a connection
	Keys      int // keys in a command
	Space     int // different keys
	KeySize   int
	Dist      string // one of bench.Distributions
	ValueSize int
	ValueType string // one of ValueTypes
	Mix       Mix
	Seed      uint64

	Requests int           // commands in all, when Duration is 0
	Duration time.Duration // how long to measure
	WarmUp   time.Duration // how long to run before
	Rate     float64       // commands a second, planned; 0: closed loop
	Fill     bool          // set every key of the space before
	Verify   bool          // read back what was written, and compare
	Compare  bool          // compare keys and values of all answers, which costs the client more
	TTL      time.Duration // how long what SETs and ADDs store lives, the filling's too; 0: for ever
	Password string        // for Redis's AUTH; "": none
	TLS      *tls.Config   // nil: without TLS

	// AllowMisses is for a run with Verify whose GETs and CONTAINS look for keys that may
	// not be there, as without Fill. Otherwise such a run fails: looking for a key that is
	// not there is cheaper, so its figure would be wrong. Misses of RMV, and of any command
	// in a mix that has RMV, are the run's own doing, as is an ADD of a key that is there:
	// they are counted and never fail a run. A key that was set and is gone always does.
	AllowMisses bool

	// Repeat has each connection write some commands before the run and send them in a
	// circle. It is cheaper for the client than to draw keys as it goes, and uses fewer
	// keys than a large space has. It is for a server that doesn't look at keys. It can be
	// neither verified nor compared, and is not sequential.
	Repeat bool

	isFilling bool // this run is the filling of another

	// VerifySample is how many keys Verify reads back, spread over those that
	// were written. 0: all.
	VerifySample int

	// Timeout is how long the server may leave commands unanswered without a
	// byte from it.
	Timeout time.Duration

	// Running is called with true when connections are open and commands built, and with
	// false when the last answer has come. Between the two is the load with its warm-up,
	// without preparation, filling and verifying.
	Running func(bool)

	// Interval is how often OnInterval is called while measuring, from one goroutine. Its
	// argument may be kept. Without it nothing is gathered before the end: merging three
	// histograms and making one takes half a millisecond of a core that a worker may need,
	// which shows in the percentiles.
	Interval   time.Duration
	OnInterval func(Interval)
}

// Defaults of Options.
const (
	DefaultHost      = "127.0.0.1"
	DefaultConns     = 32
	DefaultSpace     = 1_000_000
	DefaultKeySize   = bench.KeyBytes
	DefaultValueSize = bench.ValueBytes
	DefaultTimeout   = 10 * time.Second
	DefaultInterval  = time.Second
)

func (o Options) withDefaults() Options {
	def(&o.Protocol, "lines")
	def(&o.Addr, net.JoinHostPort(DefaultHost, DefaultPort(o.Protocol)))
	def(&o.Conns, DefaultConns)
	def(&o.Threads, 1)
	def(&o.Depth, 1)
	def(&o.Keys, 1)
	def(&o.Space, DefaultSpace)
	def(&o.KeySize, DefaultKeySize)
	def(&o.Dist, "uniform")
	def(&o.ValueSize, DefaultValueSize)
	def(&o.ValueType, "string")
	def(&o.Mix, Mix{Set: 100})
	def(&o.Seed, 1)
	def(&o.Timeout, DefaultTimeout)
	def(&o.Interval, DefaultInterval)
	o.Threads = min(o.Threads, o.Conns)
	return o
}

// DefaultPort is where a server of the protocol listens unless it is told otherwise.
func DefaultPort(protocol string) string {
	switch protocol {
	case "resp":
		return "6379"
	case "memcached":
		return "11211"
	}
	return "1987"
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate reports all faults of o in one error.
func (o Options) validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	between := func(name string, n, low, high int) {
		fault(n < low || n > high, "%s is %d, want %d to %d", name, n, low, high)
	}
	if _, _, err := client.ParseAddr(o.Addr); err != nil {
		faults = append(faults, err)
	}
	between("connections", o.Conns, 1, maxConns)
	between("threads", o.Threads, 1, o.Conns)
	between("depth", o.Depth, 1, maxDepth)
	between("keys in a command", o.Keys, 1, maxKeys)
	between("key space", o.Space, 1, maxSpace)
	between("value size", o.ValueSize, 1, maxValueSize)
	between("key size", o.KeySize, len("key:")+len(strconv.Itoa(max(o.Space-1, 10))), 250)
	fault(o.commandBytes() > maxCommand, "a command would have %d MiB, want at most %d", o.commandBytes()>>20, maxCommand>>20)
	fault(!slices.Contains(Protocols, o.Protocol), "no protocol %q: want one of %v", o.Protocol, Protocols)
	fault(!slices.Contains(bench.Distributions, o.Dist), "no distribution %q: want one of %v", o.Dist, bench.Distributions)
	fault(!slices.Contains(ValueTypes, o.ValueType), "no value type %q: want one of %v", o.ValueType, ValueTypes)
	fault(o.Requests < 0 || o.Duration < 0 || o.WarmUp < 0 || o.Timeout <= 0 || o.Interval <= 0, "requests and times must not be negative")
	fault(o.Requests == 0 && o.Duration == 0, "want a number of requests or a duration")
	fault(o.Requests > 0 && o.Duration > 0, "want a number of requests or a duration, not both")
	fault(!(o.Rate >= 0 && o.Rate <= 1e9), "the rate is %g, want 0 to 1e9 commands a second", o.Rate)
	fault(o.Protocol == "resp" && o.Mix[Add] > 0, "there is no ADD of several keys in Redis's protocol")
	fault(o.Protocol == "memcached" && o.Mix[Contains] > 0, "there is no CONTAINS in memcached's protocol")
	fault(o.Protocol == "memcached" && o.Mix[Incr] > 0, "memcached's INCR makes no counter")
	fault(o.Mix[Incr] > 0 && o.stores() && (o.ValueType != "number" || o.ValueSize > maxCounter),
		"values are %ss of %d bytes, and INCR counts: want numbers of at most %d", o.ValueType, o.ValueSize, maxCounter)
	fault(o.Mix[Incr] > 0 && (o.Verify || o.Compare), "what INCR has counted can't be verified")
	fault(o.TTL != 0 && (o.TTL < time.Millisecond || o.TTL > maxTTL), "what is stored lives for %s, want 1ms to %s, or 0 for ever", o.TTL, maxTTL)
	fault(o.TTL > 0 && o.Protocol == "resp" && o.Keys > 1, "MSET, Redis's SET of several keys, takes no time to live")
	fault(o.TTL%time.Second != 0 && o.Protocol == "memcached", "what is stored lives for %s, which memcached takes in whole seconds", o.TTL)
	fault(o.Password != "" && o.Protocol != "resp", "a password is for Redis's protocol")
	fault(o.AllowMisses && !o.Verify, "misses fail only a run that is verified: there is nothing to allow")
	fault(o.Repeat && (o.Verify || o.Compare || o.Dist == "seq"), "commands that are repeated can't be verified, and are not sequential")
	if len(faults) == 0 && o.Repeat {
		n := o.repeated() * o.commandBytes() * o.Conns
		fault(n > maxRepeated, "the commands to repeat would have %d MiB, want at most %d", n>>20, maxRepeated>>20)
	}
	return errors.Join(faults...)
}

// stores reports whether keys get a value that is not counted.
func (o Options) stores() bool { return o.Fill || o.Mix[Set]+o.Mix[Add] > 0 }

// CheckOptions reports all faults of o in one error, as Run does.
func CheckOptions(o Options) error { return o.withDefaults().validate() }
