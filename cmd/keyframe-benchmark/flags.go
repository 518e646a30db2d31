package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"keyframe/bench"
	"keyframe/bench/load"
	"keyframe/netio/client"
)

// config is what the command line asks for.
type config struct {
	load     load.Options // of the first test
	tests    []test       // run one after the other; one unless there is --tests
	format   string
	name     string
	timeline string
	hlog     string
	hgrm     string
	quiet    bool
	ioLimit  string
	version  bool
}

// test is what tells the tests of --tests apart.
type test struct {
	mix  load.Mix
	keys int
}

// testNames are what --tests takes: the commands of a mix, and redis-benchmark's SET of
// ten keys.
var testNames = []string{"set", "mset", "add", "get", "rmv", "contains", "incr"}

const msetKeys = 10

const usage = `Usage: keyframe-benchmark [flags]

Drives a server over many connections and tells how many keys a second it
answers and how long that takes. Its short flags are redis-benchmark's: -h HOST
-p PORT -c -n -d -P -r -t -q --csv. Measure with the server on one core and this
on another:

  taskset -c 0 bin/keyframe-server --listen 127.0.0.1:19880 --loops 1 &
  taskset -c 1 bin/keyframe-benchmark -p 19880 --keys 10 -P 16 --fill --duration 5s
  kill %%1

Without --rate the loop is closed: each connection sends --depth commands, waits
for all their answers and sends the next. With --rate it is open: commands are
sent on a fixed schedule and latency counts from the planned time, so a server
that stalls shows it (no coordinated omission).

Flags:
%s
Exit status: 0 measured, 1 the server refused, died, answered wrongly or did not
answer what was planned, 2 wrong usage, 130 interrupted.
`

// parseFlags reads the command line. It prints the help itself.
func parseFlags(args []string, stdout io.Writer) (*config, error) {
	cfg := &config{}
	o := &cfg.load
	fs := pflag.NewFlagSet("keyframe-benchmark", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() { fmt.Fprintf(stdout, usage, fs.FlagUsages()) }

	host := fs.StringP("host", "h", load.DefaultHost, "`host` of the server")
	port := fs.StringP("port", "p", "", "its `port` (1987; with --resp 6379, with --memcached 11211)")
	fs.StringVarP(&o.Addr, "addr", "a", "", "`address` of the server, instead of the two: host:port or unix:///path")
	websocket := fs.Bool("websocket", false, "one command a WebSocket message, instead of one a line")
	resp := fs.Bool("resp", false, "the server speaks Redis's protocol (SET, MSET, GET, MGET, DEL, EXISTS, INCR)")
	memcached := fs.Bool("memcached", false, "the server speaks memcached's text protocol (set, add, get, delete)")
	fs.IntVarP(&o.Conns, "connections", "c", load.DefaultConns, "connections")
	fs.IntVar(&o.Threads, "threads", 1, "threads that drive them")
	fs.IntVarP(&o.Depth, "depth", "P", 1, "commands in flight on each connection")
	fs.IntVarP(&o.Keys, "keys", "k", 1, "keys in each command")
	fs.IntVarP(&o.Space, "key-space", "r", load.DefaultSpace, "different keys")
	fs.IntVar(&o.KeySize, "key-size", load.DefaultKeySize, "bytes of a key")
	fs.StringVar(&o.Dist, "distribution", "uniform", "which keys: "+strings.Join(bench.Distributions, ", "))
	fs.IntVarP(&o.ValueSize, "value-size", "d", load.DefaultValueSize, "bytes of a value")
	fs.StringVar(&o.ValueType, "value-type", "string", strings.Join(load.ValueTypes, ", "))
	mix := fs.StringP("mix", "m", "set", "commands and their shares in percent, such as get=95,set=5 (set, add, get, rmv, contains, incr)")
	tests := fs.StringP("tests", "t", "", "instead of a mix, some tests one after the other, such as set,get ("+strings.Join(testNames, ", ")+"; mset: SETs of 10 keys)")
	fs.DurationVar(&o.TTL, "ttl", 0, "how long what set, add and --fill store lives: SETEX, ADDEX, with --resp SET PX (0: for ever)")
	fs.Uint64Var(&o.Seed, "seed", 1, "of the random keys and commands")

	fs.DurationVarP(&o.Duration, "duration", "D", 0, "how long to measure (10s, unless --requests is given)")
	fs.IntVarP(&o.Requests, "requests", "n", 0, "measure so many commands")
	fs.DurationVarP(&o.WarmUp, "warm-up", "w", time.Second, "how long to run before measuring")
	fs.Float64Var(&o.Rate, "rate", 0, "open loop: commands a second, planned (0: closed loop)")
	fs.BoolVar(&o.Fill, "fill", false, "set every key of the space first")
	fs.BoolVar(&o.Verify, "verify", false, "compare keys and values of every answer, and afterwards what each key that was written or removed has come to; fail when GET or CONTAINS misses a key, unless rmv is in the mix; not for a mix with incr")
	fs.BoolVar(&o.AllowMisses, "allow-misses", false, "with --verify: GET and CONTAINS may miss keys that neither --fill nor this run has set")
	fs.BoolVar(&o.Repeat, "repeat", false, "send some commands again and again instead of drawing keys: cheaper, for a server to which keys are all the same")
	fs.StringVar(&o.Password, "password", "", "for AUTH, with --resp")
	secure := fs.Bool("tls", false, "the server speaks TLS")
	caFile := fs.String("tls-ca", "", "with --tls: `file` with the roots of the server's certificate, in PEM (the system's)")
	certFile := fs.String("tls-cert", "", "with --tls: `file` with a certificate to show, in PEM")
	keyFile := fs.String("tls-key", "", "`file` with its private key")
	unchecked := fs.Bool("tls-insecure", false, "with --tls: take any certificate")
	fs.DurationVar(&o.Timeout, "timeout", load.DefaultTimeout, "how long the server may be silent with commands unanswered")

	fs.StringVarP(&cfg.format, "format", "f", "table", "table, json, csv, or benchmark (Go's format, for benchstat)")
	asJSON := fs.Bool("json", false, "the same as --format json")
	asCSV := fs.Bool("csv", false, "the same as --format csv: redis-benchmark's columns")
	fs.StringVar(&cfg.name, "name", "server", "what is measured, in the benchmark format's name")
	fs.StringVar(&cfg.timeline, "timeline", "", "write a time line as CSV to this `file`, a row an interval")
	fs.StringVar(&cfg.hlog, "hlog", "", "write an HdrHistogram log to this `file`, in nanoseconds")
	fs.StringVar(&cfg.hgrm, "hgrm", "", "write the percentile spectrum of all commands to this `file`, in microseconds")
	fs.DurationVar(&o.Interval, "interval", load.DefaultInterval, "of the time line, the log and the progress")
	fs.BoolVarP(&cfg.quiet, "quiet", "q", false, "no progress, on a terminal either, and one line instead of the table")
	fs.StringVar(&cfg.ioLimit, "serve-io-limit", "", "be a server instead: answer SETs at this `address` without decoding or storing them, on --threads event loops, for sizes as given")
	fs.BoolVar(&cfg.version, "version", false, "print the version and exit")
	fs.Bool("help", false, "print this and exit") // or -h would be it

	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if help, err := fs.GetBool("help"); err == nil && help {
		fs.Usage()
		return nil, pflag.ErrHelp
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: everything is a flag", fs.Arg(0))
	}
	if cfg.version {
		return cfg, nil
	}
	if o.AllowMisses && !o.Verify {
		return nil, fmt.Errorf("--allow-misses is for --verify: without it no miss fails a run")
	}
	var err error
	o.Compare = o.Verify
	o.Protocol = "lines"
	chosen := 0
	for protocol, is := range map[string]bool{"websocket": *websocket, "resp": *resp, "memcached": *memcached} {
		if is {
			o.Protocol = protocol
			chosen++
		}
	}
	if chosen > 1 {
		return nil, fmt.Errorf("--websocket, --resp and --memcached exclude each other")
	}
	switch {
	case !fs.Changed("addr"):
		if *port == "" {
			*port = load.DefaultPort(o.Protocol)
		}
		o.Addr = net.JoinHostPort(*host, *port)
	case fs.Changed("host") || fs.Changed("port"):
		return nil, fmt.Errorf("--addr and --host or --port say the same: want one of them")
	}
	for _, name := range []string{"tls-ca", "tls-cert", "tls-key", "tls-insecure"} {
		if fs.Changed(name) && !*secure {
			return nil, fmt.Errorf("--%s is for --tls", name)
		}
	}
	if *secure {
		if o.TLS, err = tlsConfig(o.Addr, *caFile, *certFile, *keyFile, *unchecked); err != nil {
			return nil, err
		}
	}
	if cfg.ioLimit != "" {
		if _, _, err := client.ParseAddr(cfg.ioLimit); err != nil {
			return nil, fmt.Errorf("--serve-io-limit: %w", err)
		}
	}
	if *asJSON {
		cfg.format = "json"
	}
	if *asCSV {
		cfg.format = "csv"
	}
	if formats := []string{"table", "json", "csv", "benchmark"}; !slices.Contains(formats, cfg.format) {
		return nil, fmt.Errorf("--format is %q, want one of %v", cfg.format, formats)
	}
	if strings.ContainsAny(cfg.name, " \t/\n=") || cfg.name == "" {
		return nil, fmt.Errorf("--name %q: want a word", cfg.name)
	}
	if o.Mix, err = load.ParseMix(*mix); err != nil {
		return nil, fmt.Errorf("--mix: %w", err)
	}
	cfg.tests = []test{{o.Mix, o.Keys}}
	if fs.Changed("tests") {
		if fs.Changed("mix") {
			return nil, fmt.Errorf("--tests and --mix exclude each other")
		}
		if cfg.tests, err = parseTests(*tests, o.Keys); err != nil {
			return nil, err
		}
	}
	if len(cfg.tests) > 1 && (cfg.timeline != "" || cfg.hlog != "" || cfg.hgrm != "") {
		return nil, fmt.Errorf("--timeline, --hlog and --hgrm are of one test, and --tests has %d", len(cfg.tests))
	}
	// Options takes 0 for "the default"; on the command line it is a mistake.
	for _, name := range []string{"connections", "threads", "depth", "keys", "key-space", "key-size", "value-size", "timeout", "interval"} {
		if v := fs.Lookup(name).Value.String(); v == "0" || v == "0s" {
			return nil, fmt.Errorf("--%s must be more than 0", name)
		}
	}
	if o.Requests == 0 && !fs.Changed("duration") {
		o.Duration = 10 * time.Second
	}
	for _, t := range cfg.tests {
		if err := load.CheckOptions(cfg.options(t)); err != nil {
			return nil, err
		}
	}
	return cfg, nil
}

// tlsConfig is what connections to an address are to agree on. What is sent is made
// of records as long as they may be, as the server makes them.
func tlsConfig(addr, caFile, certFile, keyFile string, unchecked bool) (*tls.Config, error) {
	config := &tls.Config{InsecureSkipVerify: unchecked, DynamicRecordSizingDisabled: true}
	if network, address, err := client.ParseAddr(addr); err == nil && network == "tcp" {
		config.ServerName, _, _ = net.SplitHostPort(address)
	}
	if caFile != "" {
		text, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("--tls-ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("--tls-ca %s: want certificates in PEM", caFile)
		}
	}
	if certFile != "" || keyFile != "" {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert and --tls-key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// options are those of one of the tests.
func (c *config) options(t test) load.Options {
	o := c.load
	o.Mix, o.Keys = t.mix, t.keys
	return o
}

// parseTests reads --tests.
func parseTests(text string, keys int) (tests []test, err error) {
	for name := range strings.SplitSeq(strings.ToLower(text), ",") {
		if !slices.Contains(testNames, name) {
			return nil, fmt.Errorf("--tests: no test %q: want some of %s", name, strings.Join(testNames, ", "))
		}
		t := test{keys: keys}
		if name == "mset" {
			name, t.keys = "set", msetKeys
		}
		if t.mix, err = load.ParseMix(name); err != nil {
			return nil, err
		}
		tests = append(tests, t)
	}
	return tests, nil
}
