package main

import (
	"fmt"
	"strings"

	"keyframe/engine"
	"keyframe/netio"
)

// The flags that fields of Options come from. A field that is not here has no flag
// that could give it a faulty value.
var (
	serverFlags = map[string]string{
		"Listen":           "listen",
		"Loops":            "loops",
		"MaxFrameBytes":    "max-frame",
		"MaxConns":         "max-conns",
		"MaxOutputBytes":   "max-output",
		"IdleTimeout":      "idle-timeout",
		"HandshakeTimeout": "handshake-timeout",
		"OutputTimeout":    "output-timeout",
	}
	storeFlags = map[string]string{
		"MaxBytes": "max-memory",
	}
)

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
	if text, ok := value.(string); ok {
		return fmt.Sprintf("--%s is %q, want %s", flag, text, want)
	}
	return fmt.Sprintf("--%s is %v, want %s", flag, value, want)
}
