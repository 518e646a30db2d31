package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// promises are the rows of SECURITY.md, and the tests that attack each of them. A
// directory stands before the names of its tests.
var promises = map[string]string{
	"somebody who can reach the port, and is no user": "netio: TestNobody TestInputWhileAuthWaits TestHTTPUsers TestMoreThanAPersonCanType TestHalfHandshakes",
	"guessing":                          "netio/access: TestDelays TestBusy TestGate",
	"finding out names":                 "netio/access: TestGate",
	"a user who wants more than he may": "netio: TestRights TestHTTPUsers TestRESPUsers netio/access: TestKeys FuzzUsers",
	"a user who is removed":             "netio: TestRemovedUsers TestTokenThatEnds netio/access: TestRenew cmd/keyframe-server: TestReload",
	"web pages":                         "netio: TestBrowser TestBrowserAllowed TestOrigin TestOriginOfUpgrade TestHTTPOrigins TestHTTPOriginsChange TestRefusedPages cmd/keyframe-server: TestAdminIsNotForWebPages",
	"requests that a proxy in front reads otherwise (smuggling)": "codec/http1: TestSmuggling TestChunks FuzzHead FuzzChunks",
	"whoever reads the network":                                  "netio: TestTLS TestTLSRefusals TestTLSFalseRecord TestTLSTruncated netio/seal: TestFalseRecords FuzzOpen",
	"a server open by accident":                                  "cmd/keyframe-server: TestExposure TestAdminBeyondLoopback TestAdminCertificates TestAdminTLSToken TestUsersCountAsAuthentication",
	"whoever reads the file of users":                            "netio/access: TestFilesOfOthers TestFaultyFiles TestChange cmd/keyframe-server: TestUserCommand",
	"whoever reads the log, `/metrics`, `--help` or `ps`":        "netio: TestRights TestRemovedUsers TestUpgradeWithProof cmd/keyframe-server: TestAdminToken",
	"broken or hostile input":                                    "netio: FuzzConnection FuzzHTTP TestSimulation TestBudgetAcrossLoops TestHundredNonReaders TestHundredHalfLines codec: FuzzDecode codec/resp: FuzzNext",
}

// TestSecurityPromises: each promise of SECURITY.md has tests, and the tests are there.
func TestSecurityPromises(t *testing.T) {
	text, err := os.ReadFile("../../SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| against | |\n|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	seen := make(map[string]bool)
	for line := range strings.Lines(table) {
		against := strings.TrimSpace(strings.Split(line, "|")[1])
		seen[against] = true
		if promises[against] == "" {
			t.Errorf("no test is named for %q", against)
		}
	}
	tests := testsByDirectory(t)
	for against, names := range promises {
		if !seen[against] {
			t.Errorf("SECURITY.md does not promise anything against %q", against)
		}
		dir := ""
		for _, name := range strings.Fields(names) {
			if rest, ok := strings.CutSuffix(name, ":"); ok {
				dir = rest
			} else if !tests[dir+"."+name] {
				t.Errorf("%q: there is no %s in %s", against, name, dir)
			}
		}
	}
}

// testsByDirectory returns the tests and fuzz targets of the tree, as directory.name.
func testsByDirectory(t *testing.T) map[string]bool {
	t.Helper()
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	found := make(map[string]bool)
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declaration.FindAllStringSubmatch(string(text), -1) {
			dir, _ := filepath.Rel("../..", filepath.Dir(path))
			found[filepath.ToSlash(dir)+"."+m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
