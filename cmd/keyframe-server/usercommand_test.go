package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyframe/netio/access"
)

// users runs keyframe-server user in this process.
func users(stdin string, environ []string, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = runUser(args, environ, strings.NewReader(stdin), &out, &errs)
	return status, out.String(), errs.String()
}

// TestPasswordLine: a password is a line without its end, of a file or of the input.
func TestPasswordLine(t *testing.T) {
	dir := t.TempDir()
	file, password := filepath.Join(dir, "users.json"), filepath.Join(dir, "password")
	for i, line := range []string{"correct horse", "correct horse\n", "correct horse\r\n", "correct horse\nmore", "correct horse\r\nmore\r\n"} {
		rewrite(t, password, line)
		if status, _, stderr := users("", nil, "add", "--users", file, "--replace", "--allow", "read", "--password-file", password, "filed"); status != exitOK {
			t.Fatal(stderr)
		}
		if status, _, stderr := users(line, nil, "add", "--users", file, "--replace", "--allow", "read", "typed"); status != exitOK {
			t.Fatal(stderr)
		}
		us, err := access.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		gate := access.NewGate(us)
		for _, name := range []string{"filed", "typed"} {
			attempt, err := gate.Enter(&net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(i)), Port: 1})
			if err == nil {
				_, err = attempt.Verify(t.Context(), &access.Proof{Name: name, Password: []byte("correct horse")})
			}
			if err != nil {
				t.Errorf("%q, %s: %v", line, name, err)
			}
		}
	}
}

// TestPasswordFileOfOthers: nobody else may do anything with the file of a password.
func TestPasswordFileOfOthers(t *testing.T) {
	dir := t.TempDir()
	file, password := filepath.Join(dir, "users.json"), filepath.Join(dir, "password")
	rewrite(t, password, "correct horse")
	for bit := range 6 {
		if err := os.Chmod(password, 0o600|1<<bit); err != nil {
			t.Fatal(err)
		}
		status, _, stderr := users("", nil, "add", "--users", file, "--allow", "read", "--password-file", password, "bob")
		if status != exitFailure || !strings.Contains(stderr, "want 0600") {
			t.Errorf("mode %04o: %d, %s", 0o600|1<<bit, status, stderr)
		}
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("there is a file of users: %v", err)
	}
}

// TestUsersVariable: KEYFRAME_USERS names the file, unless --users does.
func TestUsersVariable(t *testing.T) {
	dir := t.TempDir()
	mine, other := filepath.Join(dir, "mine.json"), filepath.Join(dir, "other.json")
	environ := []string{"HOME=" + dir, "KEYFRAME_USERS=" + other}
	for name, args := range map[string][]string{"bob": {"--users", mine}, "eve": nil} {
		args = append([]string{"add", "--allow", "read", "--no-password"}, append(args, name)...)
		if status, _, stderr := users("", environ, args...); status != exitOK {
			t.Fatal(stderr)
		}
	}
	for file, name := range map[string]string{mine: "bob", other: "eve"} {
		if status, list, stderr := users("", nil, "list", "--users", file); status != exitOK || !strings.HasPrefix(list, name) || strings.Count(list, "\n") != 1 {
			t.Errorf("%s has %q, want %s; %s", file, list, name, stderr)
		}
	}
}

// TestExpiry: a time from now that is to come, or the end of a day where the server is.
func TestExpiry(t *testing.T) {
	now := time.Date(2027, 1, 31, 1, 0, 0, 0, time.FixedZone("", 5*3600)) // in UTC still the 30th
	for text, want := range map[string]time.Time{
		"":           {},
		"1ns":        now.Add(1),
		"720h":       now.Add(720 * time.Hour),
		"2027-01-31": time.Date(2027, 1, 31, 19, 0, 0, 0, time.UTC),
		"2028-02-29": time.Date(2028, 2, 29, 19, 0, 0, 0, time.UTC),
	} {
		if got, err := parseExpiry(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"0s", "-1h", "2027-01-30", "2027-02-29", "tomorrow", "720"} {
		if got, err := parseExpiry(text, now); err == nil || !strings.Contains(err.Error(), "want a time to come") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
