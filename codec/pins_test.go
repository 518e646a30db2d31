package codec_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"keyframe/codec"
)

// What the compiler has to make of the hot path. A change that costs an inlined call or
// moves an argument to the heap shows nowhere else except in a benchmark. Another version
// of the compiler may decide otherwise: then measure, and say here what holds now.

// inlined are calls on the way of every element: a call costs a pair two of its
// nanoseconds, and a pair has five of these steps.
var inlined = []struct{ callee, caller string }{
	{"skipSpace", "(*Decoder).payload"},
	{"skipSpace", "(*Decoder).pairs"},
	{"skipSpace", "(*Decoder).keys"},
	{"skipIndent", "spaced"},
	{"skipRun", "(*Decoder).pairs"}, // white space after a comma, as printers write it
	{"skipRun", "(*Decoder).keys"},
	{"(*marks).from", "(*Decoder).pairs"}, // once for the key and once for the value
	{"(*marks).from", "(*Decoder).keys"},
	{"(*marks).from", "(*Decoder).scanEscaped"}, // for each escape
	{"(*marks).uncheckedLoad", "(*Decoder).pairs"},
	{"(*marks).uncheckedLoad", "(*Decoder).stopFar"}, // for each 57 bytes without a mark
	{"uncheckedLoad64", "(*Decoder).payload"},        // the usual names are compared as words
	{"uncheckedLoad64", "scan"},                      // every eight bytes where nothing is marked
	{"uncheckedLoad64", "unquoteShort"},
	{"stops", "scan"},
	{"usual", "(*Decoder).argument"},
	{"hashName", "Lookup"}, // the other names
	{"Shape.opening", "(*Decoder).argument"},
	{"Shape.closing", "(*Decoder).argument"},
	{"isDigit", "(*Decoder).scanScalar"},
	{"(*Decoder).begin", "(*Decoder).Decode"},
	{"(*Decoder).command", "(*Decoder).Decode"},
	{"appendPrefix", "AppendResponse"}, // all of an answer except the key: two moves
	{"appendPrefix", "AppendValue"},
	{"appendKey", "AppendValue"},
	{"keyLen", "ResponseLen"}, // of each WebSocket answer
	{"keyLen", "ValueLen"},
	{"stringView", "unquoteLong"}, // or the string would be copied
}

// staysOnStack are parameters that callers keep on their stack, or in memory that is
// used again: if one escaped, each call would allocate or keep a frame alive.
var staysOnStack = []struct{ function, param string }{
	{"AppendResponse", "arg"},
	{"AppendValue", "arg"},
	{"AppendValue", "value"}, // the store's bytes
	{"ResponseLen", "arg"},
	{"ValueLen", "arg"},
	{"ValueLen", "value"},
	{"AppendString", "s"},
	{"IsPlain", "s"},
	{"Lookup", "name"}, // or comparing it as a string would copy it
	{"skipSpace", "b"},
	{"scan", "b"},
	{"fewerChars", "b"},
	{"unescape", "s"},
	{"unquoteShort", "s"},
	{"unquoteLong", "s"},
	{"(*Decoder).keySlow", "a"}, // a rename's second key is a local Arg
	{"(*Decoder).scanEscaped", "d"},
	{"(*Decoder).Reset", "d"},
	{"markAVX2", "src"},
	{"markAVX2", "dst"},
}

func TestCompilerPins(t *testing.T) {
	calls, params := diagnose(t, ".")
	for _, p := range inlined {
		if !calls[p.caller][p.callee] {
			t.Errorf("%s is not inlined into %s any more", p.callee, p.caller)
		}
	}
	for _, p := range staysOnStack {
		if !params[p.function][p.param] {
			t.Errorf("%s escapes from %s now", p.param, p.function)
		}
	}
}

// TestPinsNameWhatIsThere: a pin of a function that was renamed would hold nothing.
func TestPinsNameWhatIsThere(t *testing.T) {
	there := map[string]bool{}
	for _, functions := range declared(t, ".") {
		for _, f := range functions {
			there[f.name] = true
		}
	}
	for _, p := range inlined {
		if !there[p.callee] || !there[p.caller] {
			t.Errorf("%s or %s is gone", p.callee, p.caller)
		}
	}
	for _, p := range staysOnStack {
		if !there[p.function] {
			t.Errorf("%s is gone", p.function)
		}
	}
}

// function is a function's place in its file.
type function struct {
	name        string // as the compiler says it: (*Decoder).pairs
	first, last int    // lines
}

// declared returns the functions of the package in dir, by file.
func declared(t *testing.T, dir string) map[string][]function {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]function{}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		files := token.NewFileSet()
		parsed, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := f.Name.Name
			if f.Recv != nil {
				switch on := f.Recv.List[0].Type.(type) {
				case *ast.Ident:
					name = on.Name + "." + name
				case *ast.StarExpr:
					name = fmt.Sprintf("(*%s).%s", on.X.(*ast.Ident).Name, name)
				}
			}
			base := filepath.Base(path)
			all[base] = append(all[base], function{name, files.Position(f.Pos()).Line, files.Position(f.End()).Line})
		}
	}
	return all
}

var diagnosis = regexp.MustCompile(`(?m)^(?:[^/\s]\S*/)?([a-z0-9_]+\.go):(\d+):\d+: (inlining call to (.+)|(\w+) does not escape)$`)

// diagnose asks the compiler about the package in dir: which calls it has inlined, by
// calling function, and which parameters do not escape, by their function. The build cache
// keeps its output. Paths are relative to the directory that the compiler ran in, except
// those of the standard library.
func diagnose(t *testing.T, dir string) (calls, params map[string]map[string]bool) {
	t.Helper()
	cmd := exec.Command("go", "build", "-gcflags=-m", ".")
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GOARCH=amd64") // where there is all the code
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	functions := declared(t, dir)
	calls, params = map[string]map[string]bool{}, map[string]map[string]bool{}
	add := func(to map[string]map[string]bool, function, what string) {
		if to[function] == nil {
			to[function] = map[string]bool{}
		}
		to[function][what] = true
	}
	for _, m := range diagnosis.FindAllStringSubmatch(string(out), -1) {
		line, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range functions[m[1]] {
			if line < f.first || line > f.last {
				continue
			}
			if m[4] != "" {
				add(calls, f.name, m[4])
			} else if line == f.first {
				add(params, f.name, m[5])
			}
		}
	}
	return calls, params
}

// TestSizes pins the structs of which there is one for each element or command.
func TestSizes(t *testing.T) {
	for _, s := range []struct {
		name       string
		size, want uintptr
	}{
		{"Arg", unsafe.Sizeof(codec.Arg{}), 64},         // a cache line
		{"Command", unsafe.Sizeof(codec.Command{}), 24}, // with the arguments and the error, all that is returned in registers
	} {
		if s.size != s.want {
			t.Errorf("%s takes %d bytes, want %d", s.name, s.size, s.want)
		}
	}
	if codec.MarksAt%8 != 0 {
		t.Errorf("the marks are written as words, and begin at %d", codec.MarksAt)
	}
}
