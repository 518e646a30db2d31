package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

// This file is where options come from: defaults, a file, the environment and flags, each
// before those that it gives way to. The flag set is the table of options. Its names are
// the keys of the file, and in capitals those of the environment, so that an option is one
// line of parseFlags.

// envPrefix is how the names in the environment begin: KEYFRAME_MAX_MEMORY.
const envPrefix = "KEYFRAME_"

// onlyFlag is the annotation of flags that are no options of a server.
const onlyFlag = "only a flag"

// sources says of each option that has not its default where its value comes from.
type sources map[string]string

// layer fills in what the command line has not set: from the environment, then from the
// file that --config or KEYFRAME_CONFIG names. It reports all faults in one error.
func layer(fs *pflag.FlagSet, file string, environ []string) (sources, error) {
	from := sources{}
	fs.Visit(func(f *pflag.Flag) {
		if option(fs, f.Name) != nil {
			from[f.Name] = "--" + f.Name
		}
	})

	var faults []error
	take := func(k *koanf.Koanf, nameOf func(key string) string) {
		for _, key := range slices.Sorted(slices.Values(k.Keys())) {
			where := nameOf(key)
			f := option(fs, key)
			if f == nil {
				faults = append(faults, fmt.Errorf("%s: no such option%s", where, nearest(fs, key)))
				continue
			}
			if from[key] != "" {
				continue
			}
			if err := set(f, k.Get(key)); err != nil {
				faults = append(faults, fmt.Errorf("%s: %w", where, err))
				continue
			}
			from[key] = where
		}
	}

	vars := koanf.New(delim)
	if err := vars.Load(env.Provider(delim, env.Opt{
		Prefix:        envPrefix,
		EnvironFunc:   func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) { return optionOfEnv(name), value },
	}), nil); err != nil {
		return nil, err
	}
	if file == "" {
		file = vars.String("config")
	}
	vars.Delete("config") // it is where options are, and none itself
	take(vars, func(key string) string { return "environment variable " + envName(key) })

	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--config: %w", err)
		}
		k := koanf.New(delim)
		if err := k.Load(rawbytes.Provider(text), toml.Parser()); err != nil {
			return nil, fmt.Errorf("--config %s: %w", file, err)
		}
		take(k, func(key string) string { return fmt.Sprintf("%s: %s", file, key) })
	}
	return from, errors.Join(faults...)
}

// delim separates the levels of nested keys, of which there are none: it keeps the names of
// tables in a file readable in errors.
const delim = "."

// option returns the flag that is the option of a name, or nil.
func option(fs *pflag.FlagSet, name string) *pflag.Flag {
	f := fs.Lookup(name)
	if f == nil || f.Name != name || f.Annotations[onlyFlag] != nil {
		return nil
	}
	return f
}

// options calls fn for each option, in the order of the help.
func options(fs *pflag.FlagSet, fn func(f *pflag.Flag)) {
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Annotations[onlyFlag] == nil {
			fn(f)
		}
	})
}

// set gives an option a value from a file or the environment: text, a number, a boolean,
// or a list of texts. In the environment a list is separated by commas.
func set(f *pflag.Flag, value any) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		var parts []string
		switch v := value.(type) {
		case []any:
			for _, part := range v {
				parts = append(parts, fmt.Sprint(part))
			}
		default:
			for part := range strings.SplitSeq(fmt.Sprint(value), ",") {
				parts = append(parts, strings.TrimSpace(part))
			}
		}
		return list.Replace(parts)
	}
	switch value.(type) {
	case string, int64, bool:
		return f.Value.Set(fmt.Sprint(value))
	}
	return fmt.Errorf("want a %s", f.Value.Type())
}

// envName is what an option is called in the environment, and optionOfEnv the reverse. It
// is "" for what isn't ours: Kubernetes gives the containers beside a service that is called
// keyframe variables such as KEYFRAME_SERVICE_HOST and KEYFRAME_PORT_1987_TCP.
func envName(option string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(option, "-", "_"))
}

func optionOfEnv(name string) string {
	name = strings.TrimPrefix(name, envPrefix)
	if strings.HasPrefix(name, "SERVICE_") || name == "PORT" || strings.HasPrefix(name, "PORT_") {
		return ""
	}
	return strings.ToLower(strings.ReplaceAll(name, "_", "-"))
}

// nearest is a hint at the option whose name is most like a wrong one.
func nearest(fs *pflag.FlagSet, name string) string {
	best, least := "", len(name)/2+1
	options(fs, func(f *pflag.Flag) {
		if d := levenshtein.ComputeDistance(name, f.Name); d < least {
			best, least = f.Name, d
		}
	})
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (%s?)", best)
}
