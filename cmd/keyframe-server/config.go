package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// This file is keyframe-server config: what would be served with, without serving.

const configUsage = `Usage: keyframe-server config check|print|sample [flags]

  check    read the file, the environment and the flags, and say what is wrong
  print    print every option with its value and where that comes from, as a file
  sample   print a file with every option, its default and what it does

The flags are the server's.
`

// runConfig is the command; it returns the exit status.
func runConfig(args []string, environ []string, stdout, stderr io.Writer) int {
	what := ""
	if len(args) > 0 {
		what, args = args[0], args[1:]
	}
	switch what {
	case "check", "print", "sample":
	case "-h", "--help":
		fmt.Fprint(stdout, configUsage)
		return exitOK
	default:
		fmt.Fprintf(stderr, "keyframe-server: config takes check, print or sample, not %q\n%s", what, configUsage)
		return exitUsage
	}
	cfg, err := parseFlags(args, environ, stdout)
	if status, ended := usageStatus(err, stderr); ended {
		return status
	}
	switch what {
	case "check":
		fmt.Fprintln(stdout, "the configuration is right")
	case "print":
		printOptions(stdout, cfg)
	case "sample":
		printSample(stdout, cfg)
	}
	return exitOK
}

// printOptions prints the options as they are, in the form of a file.
func printOptions(w io.Writer, cfg *config) {
	options(cfg.flags, func(f *pflag.Flag) {
		from := cfg.from[f.Name]
		if from == "" {
			from = "default"
		}
		fmt.Fprintf(w, "%s = %s  # %s\n", f.Name, tomlValue(f), from)
	})
}

// printSample prints a file that changes nothing: every option is a comment.
func printSample(w io.Writer, cfg *config) {
	fmt.Fprintf(w, "# keyframe-server --config FILE. Flags come first, then the environment\n# (%sLOOPS), then this file, then the defaults, which stand here.\n", envPrefix)
	options(cfg.flags, func(f *pflag.Flag) {
		_, what := pflag.UnquoteUsage(f)
		if f.Annotations[atHangUp] != nil {
			what += ". SIGHUP changes it."
		}
		fmt.Fprintf(w, "\n%s\n# %s = %s\n", comment(what), f.Name, tomlText(f, f.DefValue))
	})
}

// comment is a text in lines of at most 90 characters that begin with #.
func comment(text string) string {
	var b strings.Builder
	width := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case b.Len() == 0:
			b.WriteString("#")
		case width+1+len(word) > 88:
			b.WriteString("\n#")
			width = 0
		}
		b.WriteString(" " + word)
		width += 1 + len(word)
	}
	return b.String()
}

// tomlValue is an option's value as TOML has it.
func tomlValue(f *pflag.Flag) string {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		var parts []string
		for _, part := range list.GetSlice() {
			parts = append(parts, fmt.Sprintf("%q", part))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return tomlText(f, f.Value.String())
}

// tomlText is a value's text as TOML has it: numbers and booleans bare, all else quoted.
func tomlText(f *pflag.Flag, text string) string {
	switch f.Value.Type() {
	case "int", "bool":
		return text
	case "stringArray":
		if text == "[]" {
			return text
		}
		return `["` + strings.ReplaceAll(strings.Trim(text, "[]"), ",", `", "`) + `"]`
	}
	return fmt.Sprintf("%q", text)
}
