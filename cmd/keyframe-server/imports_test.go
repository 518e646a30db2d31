package main_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	gnet  = "github.com/panjf2000/gnet"
	sonic = "github.com/bytedance/sonic"
)

// neverBelow are the layers, cmd, bench → netio → {codec, engine}: for each the packages
// that none of its packages may import, directly or not.
var neverBelow = map[string][]string{
	"keyframe/engine": {"keyframe/codec", "keyframe/netio", "keyframe/bench", "keyframe/cmd", gnet, sonic, "net", "encoding/json"},
	"keyframe/codec":  {"keyframe/engine", "keyframe/netio", "keyframe/bench", "keyframe/cmd", gnet, "net"},
	"keyframe/netio":  {"keyframe/bench", "keyframe/cmd"},
	"keyframe/bench":  {"keyframe/cmd"},

	// The client is imported by programs that have no server in them.
	"keyframe/netio/client": {"keyframe/engine", gnet},
}

// onlyFrom are the packages that may import what only one part of the server may know.
var onlyFrom = map[string][]string{
	gnet:                        {"keyframe/netio", "keyframe/bench/iolimit"}, // iolimit is a server that does nothing, to measure what remains
	sonic:                       {"keyframe/codec", "keyframe/netio/client"},  // the client's GetJSON and SetJSON
	"github.com/cespare/xxhash": {"keyframe/engine", "keyframe/netio"},
	"github.com/KimMachineGun":  {"keyframe/cmd/keyframe-server"},
	"unsafe":                    {"keyframe/engine", "keyframe/codec", "keyframe/netio"},
	"testing":                   {"keyframe/netio/netiotest", "keyframe/bench"},
}

// mayTest are the packages whose tests import another layer all the same.
var mayTest = map[[2]string]bool{
	// A row that a test adds to the command table exists in the codec's own test
	// binary only, so the test that a server serves it is there.
	{"keyframe/codec", "keyframe/netio"}: true,
	// A client is tested on a server, and one without memory to spare is made by hand.
	{"keyframe/netio/client", "keyframe/engine"}: true,
}

// listed is what go list says of a package.
type listed struct {
	ImportPath                string
	Imports, Deps             []string
	TestImports, XTestImports []string
}

// within reports whether path is the package or module, or lies in it.
func within(path, of string) bool {
	return path == of || strings.HasPrefix(path, of+"/")
}

func TestImports(t *testing.T) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,TestImports,XTestImports", "keyframe/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	seen := map[string]bool{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for floor, never := range neverBelow {
			if !within(p.ImportPath, floor) {
				continue
			}
			seen[floor] = true
			for _, bad := range never {
				for _, dep := range p.Deps {
					if within(dep, bad) {
						t.Errorf("%s depends on %s: no package of %s may", p.ImportPath, dep, floor)
					}
				}
				// A test may import anything except another layer, or the package could not
				// be tested without that one.
				for _, dep := range slices.Concat(p.TestImports, p.XTestImports) {
					if within(dep, bad) && strings.HasPrefix(bad, "keyframe/") && !mayTest[[2]string{p.ImportPath, bad}] {
						t.Errorf("the tests of %s import %s: none of %s may", p.ImportPath, dep, floor)
					}
				}
			}
		}
		for what, from := range onlyFrom {
			for _, dep := range p.Imports {
				if !within(dep, what) {
					continue
				}
				seen[what] = true
				if !slices.ContainsFunc(from, func(owner string) bool { return within(p.ImportPath, owner) }) {
					t.Errorf("%s imports %s: only %s may", p.ImportPath, dep, strings.Join(from, " and "))
				}
			}
		}
	}
	for floor := range neverBelow {
		if !seen[floor] {
			t.Errorf("there is no package %s: what is written here of it holds nothing", floor)
		}
	}
	for what := range onlyFrom {
		if !seen[what] {
			t.Errorf("nobody imports %s: what is written here of it holds nothing", what)
		}
	}
}
