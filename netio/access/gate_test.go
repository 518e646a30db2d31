package access_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"keyframe/netio/access"
)

// newUsers are bob, with a password and a token, and eve, with a token that is over.
func newUsers(t *testing.T) (us *access.Users, token, expired string) {
	t.Helper()
	us = changed(t, filepath.Join(t.TempDir(), "users.json"), func(f *access.File) error {
		err := errors.Join(f.Add("bob", []byte("correct horse"), access.Rights{Read: []string{"bob:"}}, false), f.Add("eve", nil, access.Rights{}, false))
		var err1, err2 error
		_, token, err1 = f.AddToken("bob", time.Time{})
		_, expired, err2 = f.AddToken("eve", time.Now().Add(-time.Second))
		return errors.Join(err, err1, err2)
	})
	return us, token, expired
}

// changed changes a file of users, or makes it, and returns what is in it then.
func changed(t *testing.T, path string, change func(*access.File) error) *access.Users {
	t.Helper()
	if err := access.Change(path, true, change); err != nil {
		t.Fatal(err)
	}
	us, err := access.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return us
}

var home = &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7}

func verify(t *testing.T, g *access.Gate, from net.Addr, p *access.Proof) (*access.Login, error) {
	t.Helper()
	a, err := g.Enter(from)
	if err != nil {
		return nil, err
	}
	return a.Verify(t.Context(), p)
}

// TestGate: what is right is let in, and what isn't costs the same work, whatever of it is
// wrong.
func TestGate(t *testing.T) {
	us, token, expired := newUsers(t)
	g := access.NewGate(us)
	now := time.Now()
	hashes := map[[2]uint32]int{}
	g.CountHashes(func() time.Time { now = now.Add(time.Hour); return now }, func(memory, time uint32) { hashes[[2]uint32{memory, time}]++ })
	for _, tt := range []struct {
		name   string
		proof  access.Proof
		want   error
		hashes int
	}{
		{"right", access.Proof{Name: "bob", Password: []byte("correct horse")}, nil, 1},
		{"a wrong password", access.Proof{Name: "bob", Password: []byte("correct horsf")}, access.ErrWrong, 1},
		{"a wrong name", access.Proof{Name: "bib", Password: []byte("correct horse")}, access.ErrWrong, 1},
		{"no password", access.Proof{Name: "eve", Password: []byte("correct horse")}, access.ErrWrong, 1},
		{"an empty one", access.Proof{Name: "eve"}, access.ErrWrong, 1},
		{"a long one", access.Proof{Name: "bob", Password: make([]byte, 5000)}, access.ErrWrong, 1},
		{"a token", access.Proof{Token: []byte(token)}, nil, 0},
		{"a wrong token", access.Proof{Token: []byte(token + "x")}, access.ErrWrong, 0},
		{"an empty token", access.Proof{Token: []byte{}}, access.ErrWrong, 0},
		{"a token that is over", access.Proof{Token: []byte(expired)}, access.ErrExpired, 0},
	} {
		clear(hashes)
		l, err := verify(t, g, home, &tt.proof)
		if err != tt.want || (err == nil) != (l != nil && l.User.Name == "bob") {
			t.Errorf("%s: %+v, %v", tt.name, l, err)
		}
		if total := hashes[[2]uint32{19 << 10, 2}]; total != tt.hashes || len(hashes) > 1 {
			t.Errorf("%s: hashed %v", tt.name, hashes)
		}
		if tried := g.Try(&tt.proof); (tried != nil) != (tt.want == nil && tt.proof.Token != nil) {
			t.Errorf("%s: Try: %+v", tt.name, tried)
		}
	}
	if st := g.Stats(); st.Waiting != 0 || st.Hashes != 6 || st.Logins != [access.NumMethods]uint64{1, 2, 0} || st.Refused[access.ReasonWrong] != 7 || st.Refused[access.ReasonExpired] != 1 {
		t.Errorf("%+v", st)
	}
}

// TestDelays: attempts of one source wait, the longer the more have failed, and those of
// others don't.
func TestDelays(t *testing.T) {
	us, token, _ := newUsers(t)
	g := access.NewGate(us)
	wrong := &access.Proof{Token: []byte("x")}
	now := time.Unix(1e9, 0)
	g.CountHashes(func() time.Time { return now }, nil)
	var want time.Duration
	for i := range 9 {
		if got := g.DelayForTesting(home); got != want {
			t.Errorf("after %d failures: %v, want %v", i, got, want)
		}
		if got := g.DelayForTesting(&net.TCPAddr{IP: net.IPv4(192, 0, 2, 2)}); got != 0 {
			t.Errorf("another address waits %v", got)
		}
		now = now.Add(want) // it is over
		if _, err := verify(t, g, home, wrong); err != access.ErrWrong {
			t.Fatal(err)
		}
		want = min(100*time.Millisecond<<i, 5*time.Second)
	}
	if l, err := verify(t, g, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 3)}, &access.Proof{Token: []byte(token)}); err != nil || l == nil {
		t.Fatal(err)
	}
	now = now.Add(10 * time.Minute)
	if got := g.DelayForTesting(home); got != 0 {
		t.Errorf("after ten minutes: %v", got)
	}
	six := func(last byte) *net.TCPAddr {
		return &net.TCPAddr{IP: net.IP{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last}}
	}
	_, _ = verify(t, g, six(1), wrong)
	if g.DelayForTesting(six(2)) == 0 {
		t.Error("another address of the same network does not wait")
	}
}

// TestBusy: what waits is bounded, for a source and in all, and a server that stops does not
// wait for it.
func TestBusy(t *testing.T) {
	us, _, _ := newUsers(t)
	g := access.NewGate(us)
	wrong := &access.Proof{Token: []byte("x")}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	entered, busy := 0, 0
	for source := range 20 {
		for range 20 {
			a, err := g.Enter(&net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(source))})
			if err == access.ErrBusy {
				busy++
				continue
			}
			entered++
			wg.Go(func() { _, _ = a.Verify(ctx, wrong) })
		}
		if source == 0 && (entered < 16 || busy == 0) { // one may have been through before the last came
			t.Errorf("%d of one source wait, %d are turned away", entered, busy)
		}
	}
	stop()
	wg.Wait()
	if st := g.Stats(); st.Waiting != 0 || int(st.Refused[access.ReasonBusy]) != busy || busy == 0 {
		t.Errorf("%+v, %d were too many", st, busy)
	}
}

// TestRenew: a login holds as long as its user and its proof.
func TestRenew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.json")
	var id, token string
	change := func(f func(*access.File) error) *access.Users {
		t.Helper()
		return changed(t, path, f)
	}
	us := change(func(f *access.File) error {
		_ = f.Add("bob", []byte("correct horse"), access.Rights{}, false)
		var err error
		id, token, err = f.AddToken("bob", time.Time{})
		return err
	})
	g := access.NewGate(us)
	byToken := g.Try(&access.Proof{Token: []byte(token)})
	byPassword, err := verify(t, g, home, &access.Proof{Name: "bob", Password: []byte("correct horse")})
	if err != nil || byToken == nil {
		t.Fatal(err)
	}
	byCertificate := g.Certificate("nobody", "bob")
	hold := func(us *access.Users, token, password, certificate bool) {
		t.Helper()
		for _, tt := range []struct {
			l    *access.Login
			want bool
		}{{byToken, token}, {byPassword, password}, {byCertificate, certificate}} {
			if got := us.Renew(tt.l, time.Now()); (got != nil) != tt.want || got != nil && us.ByCertificate("bob").User != got.User {
				t.Errorf("by %s: %+v", tt.l.Method, got)
			}
		}
	}
	hold(us, true, true, true)
	hold(change(func(f *access.File) error { return f.Add("bob", nil, access.Rights{Admin: true}, true) }), true, true, true)
	hold(change(func(f *access.File) error { return f.RemoveToken("bob", id) }), false, true, true)
	hold(change(func(f *access.File) error { return f.Add("bob", []byte("correct horse"), access.Rights{}, true) }), false, false, true)
	hold(change(func(f *access.File) error { return f.Remove("bob") }), false, false, false)
}

// TestLongPassword: only all of a password is one.
func TestLongPassword(t *testing.T) {
	path, password := filepath.Join(t.TempDir(), "users.json"), bytes.Repeat([]byte("p"), access.MaxPasswordBytes)
	g := access.NewGate(changed(t, path, func(f *access.File) error { return f.Add("bob", password, access.Rights{}, false) }))
	for more, want := range map[string]error{"": nil, "p": access.ErrWrong} {
		if _, err := verify(t, g, home, &access.Proof{Name: "bob", Password: append(bytes.Clone(password), more...)}); err != want {
			t.Errorf("with %q more: %v, want %v", more, err, want)
		}
	}
}

// TestWaiting: attempts of all sources together are bounded, and who has been answered waits no more.
func TestWaiting(t *testing.T) {
	us, _, _ := newUsers(t)
	g := access.NewGate(us)
	var attempts []*access.Attempt
	for i := range 100_000 {
		a, err := g.Enter(&net.TCPAddr{IP: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i))})
		if err == access.ErrBusy {
			break
		}
		attempts = append(attempts, a)
	}
	if n := g.Stats().Waiting; n != len(attempts) || n == 100_000 {
		t.Fatalf("%d wait, of %d", n, len(attempts))
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, a := range attempts {
		_, _ = a.Verify(over, &access.Proof{Token: []byte("wrong")})
	}
	if n := g.Stats().Waiting; n != 0 {
		t.Errorf("%d wait", n)
	}
	for range 1000 { // more than a source may have wait
		if a, err := g.Enter(home); err != nil {
			t.Fatal(err)
		} else {
			_, _ = a.Verify(over, &access.Proof{})
		}
	}
}

// TestTimesOfTokens: a token is good until the instant that is its end, and a login has the end
// that the file says now.
func TestTimesOfTokens(t *testing.T) {
	file := func(user, expires string) *access.Users {
		t.Helper()
		members := `,"tokens":[{"id":"a","sha256":"` + sum("secret") + `"` + expires + `}]`
		of := map[string]string{user: members}
		us, err := access.Parse([]byte(`{"users":[{"name":"bob","allow":{}` + of["bob"] + `},{"name":"eve","allow":{}` + of["eve"] + `}]}`))
		if err != nil {
			t.Fatal(err)
		}
		return us
	}
	end := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	const expires = `,"expires":"2030-01-01T00:00:00Z"`
	forever, until := file("bob", ""), file("bob", expires)
	login, err := forever.ByToken([]byte("secret"), end)
	if err != nil || !login.Expires.IsZero() {
		t.Fatalf("%+v, %v", login, err)
	}
	for _, tt := range []struct {
		at   time.Time
		want error
	}{{end.Add(-1), nil}, {end, access.ErrExpired}, {end.Add(1), access.ErrExpired}} {
		if l, err := until.ByToken([]byte("secret"), tt.at); err != tt.want || err == nil && !l.Expires.Equal(end) {
			t.Errorf("at %v: %+v, %v", tt.at, l, err)
		}
		if l := until.Renew(login, tt.at); (l != nil) != (tt.want == nil) || l != nil && !l.Expires.Equal(end) {
			t.Errorf("renewed at %v: %+v", tt.at, l)
		}
	}
	if l, err := until.ByToken([]byte("secret"), end.Add(-1)); err != nil {
		t.Error(err)
	} else if l = forever.Renew(l, end); l == nil || !l.Expires.IsZero() {
		t.Errorf("a token that has no end any more: %+v", l)
	}
	if l := file("eve", "").Renew(login, end); l != nil {
		t.Errorf("a token that is another user's now: %+v", l)
	}
}

// TestSalts: each password has a salt of its own, without which its hash is another's.
func TestSalts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.json")
	us := changed(t, path, func(f *access.File) error {
		return errors.Join(f.Add("bob", []byte("correct horse"), access.Rights{}, false), f.Add("eve", []byte("correct horse"), access.Rights{}, false))
	})
	login, err := verify(t, access.NewGate(us), home, &access.Proof{Name: "bob", Password: []byte("correct horse")})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile(`p=1\$([^$]+)\$([^"]+)"`).FindAllSubmatch(text, -1)
	if len(parts) != 2 || bytes.Equal(parts[0][1], parts[1][1]) || bytes.Equal(parts[0][2], parts[1][2]) {
		t.Fatalf("two users' passwords are kept as %q", parts)
	}
	us, err = access.Parse(bytes.Replace(text, parts[0][1], parts[1][1], 1))
	if err != nil {
		t.Fatal(err)
	}
	if l := us.Renew(login, time.Now()); l != nil {
		t.Errorf("a login holds though its password's salt is another: %+v", l)
	}
}

// TestHashesAtOnce: half as many passwords are hashed at once as there are CPUs, whatever comes.
func TestHashesAtOnce(t *testing.T) {
	us, _, _ := newUsers(t)
	synctest.Test(t, func(t *testing.T) {
		g := access.NewGate(us)
		places, hashing, goOn := max(1, runtime.GOMAXPROCS(0)/2), atomic.Int64{}, make(chan struct{})
		g.CountHashes(time.Now, func(memory, passes uint32) {
			hashing.Add(1)
			<-goOn
			hashing.Add(-1)
		})
		var attempts sync.WaitGroup
		for i := range places + 5 {
			a, err := g.Enter(&net.TCPAddr{IP: net.IPv4(192, 0, 2, byte(i))})
			if err != nil {
				t.Fatal(err)
			}
			attempts.Go(func() {
				if _, err := a.Verify(t.Context(), &access.Proof{Name: "bob"}); err != access.ErrWrong {
					t.Error(err)
				}
			})
		}
		for left := places + 5; left > 0; left-- {
			synctest.Wait()
			if got := hashing.Load(); got != int64(min(places, left)) {
				t.Errorf("%d passwords are hashed at once, with %d attempts left: want %d", got, left, min(places, left))
			}
			goOn <- struct{}{}
		}
		attempts.Wait()
	})
}
