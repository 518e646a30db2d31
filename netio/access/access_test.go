package access_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyframe/codec"
	"keyframe/netio/access"
)

// aHash is the argon2id of "correct horse", with the least work that a file may ask for.
const aHash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$YWJjZGVmZ2hpamtsbW5vcA"

func sum(token string) string {
	s := sha256.Sum256([]byte(token))
	return hex.EncodeToString(s[:])
}

// TestFaultyFiles: every fault of a file is found, and named.
func TestFaultyFiles(t *testing.T) {
	user := func(members string) string { return `{"users":[{"name":"bob","allow":{}` + members + `}]}` }
	for _, tt := range []struct{ text, want string }{
		{``, "not a file of users"},
		{`[]`, "not a file of users"},
		{`{"users":[]`, "not a file of users"},
		{`{"users":[]} {}`, "more after the object"},
		{`{"users":[]} x`, "more after the object"},
		{`{"user":[]}`, `unknown field "user"`},
		{`{"users":[],"users":[]}`, `"users" is there twice`},
		{`{"users":[null]}`, "user 0 is null"},
		{`{"users":[{"name":"bob","allow":{"read":[""]}},{"name":"bob","allow":{}}]}`, "the name is there twice"},
		{user(`,"allow":{"admin":true}`), `"allow" is there twice`},
		{`{"users":[{"allow":{}}]}`, "a name has 1 to 128 bytes"},
		{`{"users":[{"name":"` + strings.Repeat("b", 129) + `"}]}`, "a name has 1 to 128 bytes"},
		{`{"users":[{"name":"b:b"}]}`, "a name has no colons"},
		{`{"users":[{"name":"b\nb"}]}`, "a name has no colons"},
		{`{"users":[{"name":7}]}`, "cannot unmarshal"},
		{user(`,"password":"hunter2"`), "password: want $argon2id"},
		{user(`,"password":"` + strings.Replace(aHash, "argon2id", "argon2i", 1) + `"`), "password: want $argon2id"},
		{user(`,"password":"` + strings.Replace(aHash, "v=19", "v=16", 1) + `"`), "password: want $argon2id"},
		{user(`,"password":"` + strings.Replace(aHash, "m=8,", "m=8,m=8,", 1) + `"`), "password: want $argon2id"},
		{user(`,"password":"` + strings.Replace(aHash, "p=1", "p=1x", 1) + `"`), "password: want $argon2id"},
		{user(`,"password":"` + strings.Replace(aHash, "m=8", "m=7", 1) + `"`), "m is 7 KiB"},
		{user(`,"password":"` + strings.Replace(aHash, "m=8", "m=262145", 1) + `"`), "m is 262145 KiB"},
		{user(`,"password":"` + strings.Replace(aHash, "t=1", "t=0", 1) + `"`), "t is 0"},
		{user(`,"password":"` + strings.Replace(aHash, "t=1", "t=17", 1) + `"`), "t is 17"},
		{user(`,"password":"` + strings.Replace(aHash, "c2FsdHNhbHQ", "c2Fs", 1) + `"`), "want a salt of 8 to 64 bytes"},
		{user(`,"password":"` + strings.Replace(aHash, "YWJjZGVmZ2hpamtsbW5vcA", "YWJjZGVmZ2hpamtsbW5v", 1) + `"`), "a hash of 16 to 64"},
		{user(`,"password":"` + strings.Replace(aHash, "c2FsdHNhbHQ", "c2FsdHNhbHQ=", 1) + `"`), "password: want $argon2id"},
		{user(`,"tokens":[{"id":"a","sha256":"00"}]`), "want 64 hexadecimal digits"},
		{user(`,"tokens":[{"id":"","sha256":"` + sum("x") + `"}]`), "a name has 1 to 128 bytes"},
		{user(`,"tokens":[{"id":"a","sha256":"` + sum("x") + `"},{"id":"b","sha256":"` + sum("x") + `"}]`), `token "b": it is there twice`},
		{user(`,"tokens":[{"id":"a","sha256":"` + sum("x") + `"},{"id":"a","sha256":"` + sum("y") + `"}]`), `token "a": another of this name`},
		{user(`,"tokens":[{"id":"a","sha256":"` + sum("x") + `","expires":"tomorrow"}]`), "parsing time"},
		{`{"users":[{"name":"bob","allow":{"read":[]}}]}`, `read has no prefixes`},
		{`{"users":[{"name":"bob","allow":{"read":"bob:"}}]}`, "cannot unmarshal"},
		{`{"users":[{"name":"bob","allow":{"delete":["bob:"]}}]}`, `unknown field "delete"`},
		{`{"users":[{"name":"bob","allow":{"scan":["` + strings.Repeat("k", 65_536) + `"]}}]}`, "scan has a prefix that begins no key"},
		{`{"users":[{"name":"bob","allow":{"write":[` + strings.Repeat(`"a",`, 1024) + `"a"]}}]}`, "write has 1025 prefixes"},
		{`{"users":[{"name":"","allow":{}},{"name":"b","password":"x","allow":{"read":[]}}]}`, "password: want $argon2id"},
	} {
		if _, err := access.Parse([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.120s: %v, want %q", tt.text, err, tt.want)
		}
	}
	if us, err := access.Parse([]byte(user(`,"password":"` + aHash + `","tokens":[{"id":"a","sha256":"` + sum("x") + `","expires":"2030-01-01T00:00:00Z"}]`))); err != nil || us.Len() != 1 {
		t.Errorf("a good one: %v", err)
	}
}

// TestFilesOfOthers: what somebody else can write is not read, nor changed.
func TestFilesOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.json")
	add := func(f *access.File) error { return f.Add("bob", nil, access.Rights{}, false) }
	if err := access.Change(path, false, add); err == nil {
		t.Error("a file that isn't there is changed")
	}
	if err := access.Change(path, true, add); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	for _, mode := range []os.FileMode{0o620, 0o602, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("mode %04o: others may write it", mode)
		if _, err := access.Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load: %v, want %s", err, want)
		}
		if err := access.Change(path, true, add); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Change: %v, want %s", err, want)
		}
		if _, err := access.List(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("List: %v, want %s", err, want)
		}
	}
	if _, err := access.Load(filepath.Dir(path)); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a directory: %v", err)
	}
	if os.Geteuid() == 0 {
		_ = os.Chmod(path, 0o600)
		if err := os.Chown(path, 12345, 12345); err == nil {
			if _, err := access.Load(path); err == nil || !strings.Contains(err.Error(), "belongs to the user 12345") {
				t.Errorf("another's file: %v", err)
			}
		}
	}
}

// TestChange: a change is whole or none, follows a link, and leaves nothing beside the file.
func TestChange(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "users.json"), filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	var id, token string
	must := func(change func(f *access.File) error) {
		t.Helper()
		if err := access.Change(path, true, change); err != nil {
			t.Fatal(err)
		}
	}
	must(func(f *access.File) error {
		return f.Add("bob", []byte("correct horse"), access.Rights{Read: []string{"bob:"}}, false)
	})
	if err := access.Change(link, true, func(f *access.File) (err error) {
		id, token, err = f.AddToken("bob", time.Time{})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Error("the link is no link any more")
	}
	us, err := access.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	login, err := us.ByToken([]byte(token), time.Now())
	if err != nil || login.User.Name != "bob" {
		t.Fatalf("%+v, %v", login, err)
	}
	before, _ := os.ReadFile(path)
	for name, change := range map[string]func(f *access.File) error{
		"a user twice":       func(f *access.File) error { return f.Add("bob", nil, access.Rights{}, false) },
		"a short password":   func(f *access.File) error { return f.Add("eve", []byte("1234567"), access.Rights{}, false) },
		"a wrong name":       func(f *access.File) error { return f.Add("e:ve", nil, access.Rights{}, false) },
		"nobody's token":     func(f *access.File) error { _, _, err := f.AddToken("eve", time.Time{}); return err },
		"nobody is removed":  func(f *access.File) error { return f.Remove("eve") },
		"no token's removed": func(f *access.File) error { return f.RemoveToken("bob", "none") },
	} {
		if err := access.Change(path, true, change); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("a change that failed has changed the file")
	}
	if strings.Contains(string(before), token) || strings.Contains(string(before), "correct horse") {
		t.Error("a secret is in the file")
	}
	must(func(f *access.File) error { return f.RemoveToken("bob", id) })
	must(func(f *access.File) error { return f.Add("bob", nil, access.Rights{Admin: true}, true) })
	entries, err := access.List(path)
	if err != nil || len(entries) != 1 || !entries[0].HasPassword || !entries[0].Rights.Admin || len(entries[0].Tokens) != 0 {
		t.Errorf("%+v, %v", entries, err)
	}
	must(func(f *access.File) error { return f.Remove("bob") })
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 2 {
		t.Errorf("left: %v", left)
	}
}

// TestKeys holds the comparison of words against strings.HasPrefix.
func TestKeys(t *testing.T) {
	sets := [][]string{
		nil, {""}, {"a"}, {"bob:"}, {"12345678"}, {"123456789"}, {"bob:", "eve:"}, {"a-long-prefix:", "b"},
		{"b", "a-long-prefix:"}, {"x", ""}, {"\x00"}, {"1234567890123456"}, {"12345678901234567"}, {"\x01\x00\x00\x00\x00\x00\x00\x00"},
	}
	keys := []string{"", "a", "b", "bob", "bob:", "bob:x", "bob:12345", "bobby:123", "eve:1", "eve:12345678", "1234567", "12345678", "123456789", "1234567890", "123456789012345", "1234567890123456", "1234567890123456x", "12345678901234567", "1234567x90123456x", "12345678x0123456x", "123456789012345xx", "123456789x", "x23456789", "a-long-prefix", "a-long-prefix:", "a-long-prefix:x",
		"\x00", "\x00\x00\x00\x00\x00\x00\x00\x00", "\x01\x00\x00\x00\x00\x00\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff"}
	for _, a := range sets {
		for _, b := range sets {
			us, err := access.ParseRights(access.Rights{Read: a, Write: b, Scan: a})
			if err != nil {
				t.Fatal(err)
			}
			u := us.ByCertificate("bob").User
			for _, key := range keys {
				has := func(prefixes []string) bool {
					for _, p := range prefixes {
						if strings.HasPrefix(key, p) {
							return true
						}
					}
					return false
				}
				for class, want := range map[codec.Class]bool{0: true, codec.ClassRead: has(a), codec.ClassWrite: has(b), codec.ClassRead | codec.ClassWrite: has(a) && has(b), codec.ClassRead | codec.ClassScan: has(a)} {
					if got := u.Keys(class).Has([]byte(key)); got != want {
						t.Errorf("read %q, write %q: class %b, key %q: %v", a, b, class, key, got)
					}
					for _, args := range [][]codec.Arg{{{Key: []byte(key)}}, {{Key: []byte(key + "12345678")}, {Key: []byte(key)}}} {
						if u.Keys(class).SeesAll(args) && !want {
							t.Errorf("read %q, write %q: class %b, key %q is seen", a, b, class, key)
						}
					}
				}
				if sees := u.Keys(codec.ClassRead).SeesAll([]codec.Arg{{Key: []byte(key)}}); len(a) > 0 && len(a[0]) <= 16 && len(key) >= 8 && strings.HasPrefix(key, a[0]) && !sees {
					t.Errorf("read %q: key %q is not seen at a glance", a, key)
				}
				if u.MayScan([]byte(key)) != has(a) {
					t.Errorf("scan %q, prefix %q", a, key)
				}
			}
		}
	}
}

// BenchmarkKeys is the check of a key for a user with one prefix: one that is compared as a word,
// and a longer one. The keys are checked as a turn does it, those of a command in a row.
func BenchmarkKeys(b *testing.B) {
	for _, prefix := range []string{"user:", "customers:eu:"} {
		b.Run(fmt.Sprintf("prefix=%d", len(prefix)), func(b *testing.B) {
			us, err := access.ParseRights(access.Rights{Read: []string{prefix}})
			if err != nil {
				b.Fatal(err)
			}
			keys := us.ByCertificate("bob").User.Keys(codec.ClassRead)
			batch := make([][]byte, 100)
			for i := range batch {
				batch[i] = fmt.Appendf(nil, "%s%06d", prefix, i)
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, key := range batch {
					if !keys.Has(key) {
						b.Fatal("it has it")
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/key")
		})
	}
}
