package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"

	"keyframe/codec"
	"keyframe/engine"
	"keyframe/engine/journal"
	"keyframe/netio"
	"keyframe/netio/access"
)

// config is what the command line asks for.
type config struct {
	server    netio.Options
	store     engine.Options
	admin     string // host:port, or nothing
	adminTLS  bool   // it was tls://host:port
	insecure  bool   // listeners may be open to other machines
	dataDir   string // nothing: the store is in memory only
	fsync     journal.Mode
	recover   string
	logFormat string
	logLevel  slog.Level
	version   bool

	adminToken *token         // what requests to admin must bring; nil: nothing
	level      *slog.LevelVar // logLevel, or what it has become

	flags *pflag.FlagSet // the table of options, with their values
	from  sources        // where these come from

	autoMemory  bool   // store.MaxBytes follows from the memory there is
	autoBuffers bool   // and so does server.MaxBufferBytes
	memory      uint64 // that there is; 0: it is not known
}

const usage = `Usage: keyframe-server [flags]
       keyframe-server config check|print|sample [flags]
       keyframe-server check|dump DIR
       keyframe-server copy DIR TO
       keyframe-server user add|token|list|remove [flags]

Serves a JSON key-value store, in memory and, with --data-dir, on disk. One port speaks all of
them: a connection that begins with an HTTP GET becomes a WebSocket (one command
a message), one that begins with a command of Redis's speaks that (redis-cli -p
1987), any other speaks JSON Lines (one command a line). Try it:

  printf '{"SET":{"user1234_name":"bob"}}\n' | nc -N 127.0.0.1 1987

Flags:
%s
Sizes take units: 16MiB, 64KiB, 1GB. Durations too: 30s, 5m. What no flag says is
taken from the environment (KEYFRAME_MAX_MEMORY=4GiB), then from the file that
--config names (max-memory = "4GiB"); keyframe-server config sample prints one.

SIGINT or SIGTERM stops the server: it answers what it has read, closes every
connection and exits, within 5 seconds; with --data-dir it makes a snapshot then.
SIGHUP reads the options, the users and the certificates again, and takes over what
a running server can change, or nothing if anything is wrong. Exit status: 0
stopped, 1 could not start, 2 wrong usage, 3 the journal has failed.
`

// parseFlags reads the command line, and what it leaves open from the environment and the
// file that it names. It prints the help itself.
func parseFlags(args, environ []string, stdout io.Writer) (*config, error) {
	return parseFlagsFor(memory(), args, environ, stdout)
}

// parseFlagsFor is parseFlags where there is so much memory.
func parseFlagsFor(memory uint64, args, environ []string, stdout io.Writer) (*config, error) {
	cfg := &config{memory: memory, autoBuffers: true}
	o := &cfg.server
	o.TLSMin = tls.VersionTLS12
	fs := pflag.NewFlagSet("keyframe-server", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "pprof" { // what --admin was called when it served profiles only
			name = "admin"
		}
		return pflag.NormalizedName(name)
	})
	fs.Usage = func() { fmt.Fprintf(stdout, usage, fs.FlagUsages()) }

	fs.StringArrayVarP(&o.Listen, "listen", "l", []string{netio.DefaultListen}, "`address` to serve, repeatable: host:port, tcp://host:port, tls://host:port or unix:///path")
	fs.StringVar(&o.TLSCert, "tls-cert", "", "`file` with the certificate for the tls:// addresses of --listen and --admin, and those between it and the root, in PEM; it is read again when it changes, and so are the next two")
	fs.StringVar(&o.TLSKey, "tls-key", "", "`file` with its private key")
	fs.StringVar(&o.TLSClientCA, "tls-client-ca", "", "`file` with the roots of clients' certificates: clients must prove with one who they are (by default they are not asked)")
	clientCert := choice{value: "require", choices: []string{"require", "verify"}}
	fs.Var(&clientCert, "tls-client", "with --tls-client-ca: require a certificate, or verify the one of a client that has one")
	fs.Var((*tlsVersion)(&o.TLSMin), "tls-min", "the least version of TLS: 1.2 or 1.3")
	values := choice{value: "scalar", choices: []string{"scalar", "any"}}
	fs.Var(&values, "values", "what may be stored: scalar (strings, numbers, booleans) or any (null, objects and arrays too)")
	fs.StringVar(&cfg.dataDir, "data-dir", "", "keep the store on disk in this `directory`, which is made if it isn't there (by default nothing is read or written)")
	fsync := choice{value: journal.EverySec.String(), choices: []string{journal.EverySec.String(), journal.Always.String(), journal.No.String()}}
	fs.Var(&fsync, "fsync", "when what --data-dir keeps is safe from a power cut: everysec (after a second), always (before it is answered) or no (when the system likes)")
	recovery := choice{value: "refuse", choices: []string{"refuse", "truncate"}}
	fs.Var(&recovery, "recover", "what to do when the journal in --data-dir is damaged: refuse to start, or truncate it there")
	minKey := fs.Int("min-key", codec.DefaultMinKeyChars, "how many characters a key must have, 1 to 1024; what is said here counts for Redis's clients too, whose keys have 1 otherwise")
	fs.Var(sizeOrAuto{newSize(&cfg.store.MaxBytes, 0), &cfg.autoMemory}, "max-memory", "what the store may take: a SET that needs more gets status 14, or see --evict (0: no limit; auto: what the container or the machine has, less --max-buffers and a margin for the process)")
	fs.TextVar(&cfg.store.Evict, "evict", engine.EvictNone, "the `policy` of what may go to make room when --max-memory is reached: none, volatile (keys with a deadline, the next ones first) or all (keys that are asked for least)")
	fs.Var(newSize(&o.MaxFrameBytes, netio.DefaultMaxFrameBytes), "max-frame", "the longest command, as a message or a line")
	fs.IntVar(&o.MaxConns, "max-conns", netio.DefaultMaxConns, "how many connections may be open at once")
	fs.Var(newSize(&o.MaxOutputBytes, netio.DefaultMaxOutputBytes), "max-output", "responses that one client may leave unread: at so many the server stops reading from it until it has read half")
	fs.Var(sizeOrAuto{newSize(&o.MaxBufferBytes, 0), &cfg.autoBuffers}, "max-buffers", "what commands that have come and answers that are unread may take, of all connections together; a connection that holds too large a part waits, and is closed as a slow consumer if it does not get on for a second (auto: a quarter of what the container or the machine has)")
	fs.DurationVar(&o.IdleTimeout, "idle-timeout", 0, "close a connection that sends nothing and reads none of its answers for so long (0: never; TCP's keep-alive finds the dead ones)")
	fs.DurationVar(&o.PingInterval, "ping-interval", netio.DefaultPingInterval, "ping a WebSocket that has been silent for so long, or for half of --idle-timeout, and close it when it is silent for as long again")
	fs.DurationVar(&o.HandshakeTimeout, "handshake-timeout", netio.DefaultHandshakeTimeout, "close a connection that has begun to speak and not gone on for so long")
	fs.DurationVar(&o.OutputTimeout, "output-timeout", netio.DefaultOutputTimeout, "close a connection that leaves more than half of --max-output unread for so long, as a slow consumer (at --max-output, one that takes nothing for a second too)")
	fs.IntVar(&o.Loops, "loops", 0, "event loops, at most 256; 0 means three for every four CPUs, and one at least")
	fs.BoolVar(&o.StrictText, "strict-text", false, "close a WebSocket that sends a binary message with 1003, instead of serving it as a text message")
	fs.StringVar(&cfg.admin, "admin", "", "serve /metrics, /livez, /readyz and, on loopback only, /debug/pprof at this `address`: host:port, tls://host:port, or a port on 127.0.0.1 (off by default)")
	fs.StringArrayVar(&o.AllowOrigins, "allow-origin", nil, "let the pages of this `origin` use the server, repeatable: https://example.com, null, or * for all (the server's own)")
	tokenFile := fs.String("admin-token-file", "", "answer at --admin only requests with Authorization: Bearer and the secret in this `file`, whose mode must be 0600 (anybody)")
	fs.BoolVar(&cfg.insecure, "insecure", false, "let --listen and --admin be addresses that other machines reach, without asking anybody who they are")
	fs.Var((*fileMode)(&o.UnixMode), "unix-mode", "permissions of the sockets of unix:// listeners, such as 0660 (what the umask leaves)")
	format := choice{value: "text", choices: []string{"text", "json"}}
	fs.Var(&format, "log-format", "text or json, on standard error")
	fs.TextVar(&cfg.logLevel, "log-level", slog.LevelInfo, "the least `level` that is logged: debug, info, warn or error")
	usersFile := fs.String("users", "", "let in only the users in this `file`, which keyframe-server user changes, and whom nobody else may write (anybody may do anything)")
	file := fs.String("config", "", "read options from this TOML `file`")
	fs.BoolVar(&cfg.version, "version", false, "print the version and exit")
	for _, name := range []string{"config", "version"} {
		fs.SetAnnotation(name, onlyFlag, []string{}) // the flag is there
	}
	for _, name := range reloadable {
		fs.SetAnnotation(name, atHangUp, []string{}) // the flag is there
	}
	cfg.flags = fs

	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: everything is a flag", fs.Arg(0))
	}
	if cfg.version {
		return cfg, nil
	}
	var err error
	if cfg.from, err = layer(fs, *file, environ); err != nil {
		return nil, err
	}
	o.AnyValues = values.value == "any"
	o.StopTimeout = netio.DefaultStopTimeout
	o.TLSClientOptional = clientCert.value == "verify"
	cfg.logFormat = format.value
	cfg.fsync, _ = journal.ParseMode(fsync.value) // it is one of its names
	cfg.recover = recovery.value
	if cfg.admin != "" || fs.Changed("admin") { // in a file, "" means off
		if cfg.admin, cfg.adminTLS, err = adminAddress(cfg.admin); err != nil {
			return nil, err
		}
	}
	if *usersFile != "" {
		if o.Users, err = access.Load(*usersFile); err != nil {
			return nil, fmt.Errorf("--users: %w", err)
		}
	}
	if *tokenFile != "" {
		if cfg.adminToken, err = readToken(*tokenFile); err != nil {
			return nil, fmt.Errorf("--admin-token-file: %w", err)
		}
	}
	// Options takes 0 for "the default"; on the command line it is a mistake.
	for _, name := range []string{"min-key", "max-frame", "max-conns", "max-output", "max-buffers", "ping-interval", "handshake-timeout", "output-timeout"} {
		if v := fs.Lookup(name).Value.String(); v == "0" || v == "0 B" || v == "0s" {
			return nil, fmt.Errorf("--%s must be more than 0", name)
		}
	}
	if cfg.from["min-key"] != "" { // else it depends on the protocol
		o.MinKeyChars = *minKey
	}
	if o.Loops < 0 {
		return nil, fmt.Errorf("--loops must not be negative")
	}
	if err := errors.Join(cfg.divide(), engine.CheckOptions(cfg.store), netio.CheckOptions(*o)); err != nil {
		return nil, err
	}
	return cfg, errors.Join(cfg.checkCertificate(), cfg.checkExposure())
}

// logger makes a logger in the format that the flags choose.
func (c *config) logger(w io.Writer, level slog.Leveler) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if c.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// size is a flag that takes a number of bytes, with or without a unit.
type size struct{ bytes *int }

func newSize(field *int, value int) size {
	*field = value
	return size{field}
}

func (s size) Set(text string) error {
	n, err := humanize.ParseBytes(text)
	if err != nil || n > 1<<40 {
		return fmt.Errorf("want a size such as 16MiB")
	}
	*s.bytes = int(n)
	return nil
}

// sizeOrAuto is a size, or auto.
type sizeOrAuto struct {
	size
	auto *bool
}

func (s sizeOrAuto) Set(text string) error {
	if *s.auto = text == "auto"; *s.auto {
		*s.bytes = 0
		return nil
	}
	if s.size.Set(text) != nil {
		return fmt.Errorf("want a size such as 16MiB, or auto")
	}
	return nil
}

func (s sizeOrAuto) String() string {
	if s.auto != nil && *s.auto {
		return "auto"
	}
	return s.size.String()
}

func (sizeOrAuto) Type() string { return "size|auto" }

func (s size) String() string { return humanize.IBytes(uint64(*s.bytes)) }
func (size) Type() string     { return "size" }

// choice is a flag with a few possible values.
type choice struct {
	value   string
	choices []string
}

func (c *choice) Set(text string) error {
	for _, v := range c.choices {
		if text == v {
			c.value = v
			return nil
		}
	}
	return fmt.Errorf("want one of %v", c.choices)
}

func (c *choice) String() string { return c.value }
func (c *choice) Type() string   { return strings.Join(c.choices, "|") }

// tlsVersion is a flag that takes a version of TLS.
type tlsVersion uint16

func (v *tlsVersion) Set(text string) error {
	for number, name := range tlsVersionNames {
		if text == name {
			*v = tlsVersion(number)
			return nil
		}
	}
	return fmt.Errorf("want 1.2 or 1.3")
}

func (v *tlsVersion) String() string { return tlsVersionNames[uint16(*v)] }
func (v *tlsVersion) Type() string   { return "1.2|1.3" }

var tlsVersionNames = map[uint16]string{tls.VersionTLS12: "1.2", tls.VersionTLS13: "1.3"}

// fileMode is a flag that takes permissions in octal.
type fileMode os.FileMode

func (m *fileMode) Set(text string) error {
	if text == "" {
		*m = 0
		return nil
	}
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 || n == 0 {
		return fmt.Errorf("want permissions such as 0660")
	}
	*m = fileMode(n)
	return nil
}

func (m *fileMode) String() string {
	if *m == 0 {
		return ""
	}
	return fmt.Sprintf("%04o", uint32(*m))
}

func (m *fileMode) Type() string { return "mode" }
