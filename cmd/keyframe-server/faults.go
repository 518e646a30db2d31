package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"keyframe/engine"
	"keyframe/netio"
)

// The flags that fields of Options come from. A field that is not here has no flag
// that could give it a faulty value.
var (
	serverFlags = map[string]string{
		"Listen":           "listen",
		"TLSCert":          "tls-cert",
		"TLSKey":           "tls-key",
		"TLSClientCA":      "tls-client-ca",
		"AllowOrigins":     "allow-origin",
		"Loops":            "loops",
		"MinKeyChars":      "min-key",
		"MaxFrameBytes":    "max-frame",
		"MaxConns":         "max-conns",
		"MaxOutputBytes":   "max-output",
		"MaxBufferBytes":   "max-buffers",
		"IdleTimeout":      "idle-timeout",
		"PingInterval":     "ping-interval",
		"HandshakeTimeout": "handshake-timeout",
		"OutputTimeout":    "output-timeout",
	}
	storeFlags = map[string]string{
		"MaxBytes": "max-memory",
		"Evict":    "evict",
	}
)

// sizes are the flags that take units. Options count in bytes; faults of these flags are
// told in the units that people write.
var sizes = map[string]bool{"max-frame": true, "max-output": true, "max-buffers": true, "max-memory": true}

// oneLine is an error as one sentence in the words of the command line, whether it is
// one fault or several that have been joined.
func oneLine(err error) string {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		var parts []string
		for _, fault := range e.Unwrap() {
			parts = append(parts, oneLine(fault))
		}
		return strings.Join(parts, "; ")
	case *netio.OptionError:
		if flag, ok := serverFlags[e.Field]; ok {
			return flagFault(flag, e.Value, e.Want)
		}
	case *engine.OptionError:
		if flag, ok := storeFlags[e.Field]; ok {
			return flagFault(flag, e.Value, e.Want)
		}
	}
	// The operator need not know which of our packages reports it.
	text := err.Error()
	for _, pkg := range []string{"netio: ", "engine: "} {
		text = strings.TrimPrefix(text, pkg)
	}
	return strings.ReplaceAll(text, "\n", "; ")
}

// flagFault says what is wrong with a flag's value.
func flagFault(flag string, value any, want string) string {
	if n, ok := value.(int); ok && sizes[flag] {
		return fmt.Sprintf("--%s is %s, want %s", flag, inUnits(n), wantInUnits(want))
	}
	if text, ok := value.(string); ok {
		return fmt.Sprintf("--%s is %q, want %s", flag, text, want)
	}
	return fmt.Sprintf("--%s is %v, want %s", flag, value, want)
}

// inUnits is a number of bytes in the largest unit that it is a multiple of.
func inUnits(n int) string {
	const units = "BKMGT"
	unit := 0
	for n != 0 && n%1024 == 0 && unit < len(units)-1 {
		n /= 1024
		unit++
	}
	if unit == 0 {
		return humanize.Comma(int64(n)) + " B"
	}
	return fmt.Sprintf("%d %ciB", n, units[unit])
}

var numberOfBytes = regexp.MustCompile(`[1-9][0-9]*( [KMGT]iB)?`)

// wantInUnits is the text of an OptionError with its numbers of bytes in units.
func wantInUnits(want string) string {
	return numberOfBytes.ReplaceAllStringFunc(want, func(text string) string {
		if n, err := strconv.Atoi(text); err == nil {
			return inUnits(n)
		}
		return text // it has its unit
	})
}
