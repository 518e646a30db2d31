package main

import (
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"keyframe/engine"
	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// flagless are the fields of Options that no flag can give a faulty value.
var flagless = map[string]bool{
	"AnyValues":         true, // --values has two values
	"TLSClientOptional": true, // neither has --tls-client
	"TLSMin":            true, // nor --tls-min
	"StrictText":        true, // neither has --strict-text
	"StopTimeout":       true,
	"UnixMode":          true, // --unix-mode refuses what would be faulty
	"Version":           true,
	"Logger":            true,
	"Shards":            true,
	"InitialCapacity":   true,
	"Simulation":        true, // for tests
	"RecordEffects":     true, // --data-dir needs them
	"Journal":           true, // it is what --data-dir opens
	"Clock":             true, // the system's
	"Merge":             true, // the codec's, for commands that change a part of a value
	"Readable":          true, // the same, for those that take a value away
	"Users":             true, // they are what the file of --users holds
}

// memoryWanted is how the engine words what MaxBytes may be. Its unit is smaller in builds
// that check more.
func memoryWanted(t *testing.T) string {
	t.Helper()
	var fault *engine.OptionError
	if err := engine.CheckOptions(engine.Options{MaxBytes: 1024}); !errors.As(err, &fault) || fault.Field != "MaxBytes" {
		t.Fatalf("1 KiB of memory: %v", err)
	}
	return wantInUnits(fault.Want)
}

// TestFieldsAndFlags: every field has its flag, or a reason to have none. A good value of
// the flag reaches this field and no other; the fault of a bad one names the flag.
func TestFieldsAndFlags(t *testing.T) {
	ca := netiotest.NewCA(t)
	cert, key := ca.Server("server")
	tests := map[string]struct {
		good string
		set  any
		bad  string
		want string
	}{
		"allow-origin":      {"https://a.example", []string{"https://a.example"}, "a.example", `--allow-origin is "a.example", want an origin such as https://example.com, null, or * for all`},
		"listen":            {"127.0.0.1:7", []string{"127.0.0.1:7"}, "nonsense", `--listen is "nonsense", want host:port`},
		"tls-cert":          {cert, cert, "none.pem", `--tls-cert is "none.pem", want a file that can be read: no such file or directory`},
		"tls-key":           {key, key, "none.pem", `--tls-key is "none.pem", want a file that can be read: no such file or directory`},
		"tls-client-ca":     {ca.File, ca.File, "none.pem", `--tls-client-ca is "none.pem", want a file that can be read: no such file or directory`},
		"loops":             {"7", 7, "257", "--loops is 257, want 1 to 256"},
		"min-key":           {"7", 7, "1025", "--min-key is 1025, want 1 to 1024"},
		"max-frame":         {"3MiB", 3 << 20, "63B", "--max-frame is 63 B, want 64 B to 256 MiB"},
		"max-conns":         {"7", 7, "-1", "--max-conns is -1, want 1 to 1048576"},
		"max-output":        {"3MiB", 3 << 20, "1023B", "--max-output is 1,023 B, want 1 KiB to 1 TiB"},
		"max-buffers":       {"3GiB", 3 << 30, "1MiB", "--max-buffers is 1 MiB, want 65 MiB (for four frames) to 1 TiB"},
		"idle-timeout":      {"7s", 7 * time.Second, "-1s", "--idle-timeout is -1s, want 0 or more"},
		"ping-interval":     {"7s", 7 * time.Second, "-1s", "--ping-interval is -1s, want more than 0"},
		"handshake-timeout": {"7s", 7 * time.Second, "-2s", "--handshake-timeout is -2s, want more than 0"},
		"output-timeout":    {"7s", 7 * time.Second, "-3s", "--output-timeout is -3s, want more than 0"},
		"max-memory":        {"64MiB", 64 << 20, "1KiB", "--max-memory is 1 KiB, want " + memoryWanted(t)},
		"evict":             {"volatile", engine.EvictVolatile, "all", "--evict is all, want none while there is no ceiling"},
	}
	secure := []string{"--listen", "tls://127.0.0.1:7", "--tls-cert", cert, "--tls-key", key}
	with := map[string][]string{"evict": {"--max-memory", "64MiB"}, "tls-cert": secure, "tls-key": secure, "tls-client-ca": secure} // without which the good value isn't one
	check := func(options any, of func(*config) any, flags map[string]string) {
		fields := reflect.TypeOf(options)
		for i := range fields.NumField() {
			field := fields.Field(i)
			flag, ok := flags[field.Name]
			if !field.IsExported() || flagless[field.Name] && !ok {
				continue
			}
			tt, known := tests[flag]
			if !ok || !known {
				t.Errorf("%v.%s has no flag, or --%s no test", fields, field.Name, flag)
				continue
			}
			defaults, err := parseFlags(with[flag], nil, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := parseFlags(append(with[flag], "--"+flag, tt.good), nil, io.Discard)
			if err != nil {
				t.Errorf("--%s %s: %v", flag, tt.good, err)
				continue
			}
			want := reflect.New(fields).Elem()
			want.Set(reflect.ValueOf(of(defaults)))
			want.Field(i).Set(reflect.ValueOf(tt.set))
			if got := of(cfg); !reflect.DeepEqual(got, want.Interface()) {
				t.Errorf("--%s %s gives %+v, want %+v", flag, tt.good, got, want)
			}
			args := []string{"--" + flag, tt.bad}
			if strings.HasPrefix(flag, "tls-") {
				args = append(slices.Clone(secure), args...)
			}
			if _, err := parseFlags(args, nil, io.Discard); err == nil || oneLine(err) != tt.want {
				t.Errorf("--%s %s: %v, want %s", flag, tt.bad, err, tt.want)
			}
			delete(tests, flag)
		}
	}
	check(netio.Options{}, func(c *config) any { return c.server }, serverFlags)
	check(engine.Options{}, func(c *config) any { return c.store }, storeFlags)
	for flag := range tests {
		t.Errorf("--%s is of no field", flag)
	}
}

// TestInUnits: sizes are exact, and as people write them.
func TestInUnits(t *testing.T) {
	for n, want := range map[int]string{
		0: "0 B", 63: "63 B", 1024: "1 KiB", 1025: "1,025 B", 2 << 20: "2 MiB", 3 << 19: "1536 KiB", 16 << 30: "16 GiB", 1 << 40: "1 TiB", -1024: "-1 KiB",
	} {
		if got := inUnits(n); got != want {
			t.Errorf("%d bytes are %s, want %s", n, got, want)
		}
	}
	if got, want := wantInUnits("0 or 2097152 to 7 GiB, at most 10"), "0 or 2 MiB to 7 GiB, at most 10 B"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestOneLine: faults of both packages make one sentence, and any other error keeps its
// text.
func TestOneLine(t *testing.T) {
	_, err := parseFlags([]string{"--max-memory", "1KiB", "--max-conns", "-1", "--loops", "257"}, nil, io.Discard)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{err, "--max-memory is 1 KiB, want " + memoryWanted(t) + "; --loops is 257, want 1 to 256; --max-conns is -1, want 1 to 1048576"},
		{&netio.OptionError{Field: "StopTimeout", Value: -time.Second, Want: "more than 0"}, "StopTimeout is -1s, want more than 0"},
		{&engine.OptionError{Field: "Shards", Value: 3, Want: "a power of two"}, "Shards is 3, want a power of two"},
		{errors.New("netio: can't listen on 127.0.0.1:1: in use by engine: 7"), "can't listen on 127.0.0.1:1: in use by engine: 7"},
		{errors.New("the Loops is on fire\nand more"), "the Loops is on fire; and more"},
	} {
		if got := oneLine(tt.err); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
