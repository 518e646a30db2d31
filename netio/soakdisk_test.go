package netio_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyframe/engine"
	"keyframe/engine/journal"
	"keyframe/netio"
)

// This file is what the soak has on disk, and the keys that die beside those that stay.

// sessions is a client that stores sessions and never looks at them again: they are there for
// some milliseconds, or for long enough to fill the store.
func (k *soak) sessions(rng *rand.Rand) error {
	before := k.turnedAway()
	nc, err := k.dial(0)
	if err != nil {
		return err
	}
	defer nc.Close()
	in := bufio.NewReader(nc)
	for range 1 + rng.IntN(100) {
		if k.ctx.Err() != nil {
			return nil
		}
		n := 1 + rng.IntN(40)
		var pairs []string
		for range n {
			pairs = append(pairs, fmt.Sprintf(`"session_%d":"%s"`, rng.IntN(1_000_000), strings.Repeat("s", rng.IntN(2000))))
		}
		ttl := 1 << rng.IntN(17) // ms
		if _, err := fmt.Fprintf(nc, `{"SETEX":{"ttl":%d,"pairs":{%s}}}`+"\n", ttl, strings.Join(pairs, ",")); err != nil && k.turnedAway() == before {
			return err
		}
		for range n {
			got, err := in.ReadString('\n')
			switch {
			case k.turnedAway() > before && (err != nil || !strings.HasPrefix(got, `{"SETEX_RSP":`)):
				return nil
			case err != nil || !strings.HasPrefix(got, `{"SETEX_RSP":{"st":`):
				return fmt.Errorf("got %.200q, %v", got, err)
			}
		}
	}
	return nil
}

// keptBy returns what a server has of the good clients' keys, as KEYS shows it.
func keptBy(t *testing.T, s *testServer) map[string]string {
	t.Helper()
	c := dialLines(t, "tcp", s.tcp)
	defer c.hangUp()
	kept := make(map[string]string)
	for cursor := ""; ; {
		c.send(`{"KEYS":{"prefix":"good_","values":true` + cursor + `}}`)
		var answer struct {
			Page struct {
				Pairs  map[string]json.RawMessage `json:"pairs"`
				Cursor string                     `json:"cursor"`
			} `json:"KEYS_RSP"`
		}
		if err := json.Unmarshal([]byte(c.recv()), &answer); err != nil {
			t.Fatal(err)
		}
		for key, value := range answer.Page.Pairs {
			kept[key] = string(value)
		}
		if answer.Page.Cursor == "" {
			return kept
		}
		cursor = fmt.Sprintf(`,"cursor":%q`, answer.Page.Cursor)
	}
}

// restart starts a server on what is on disk, and wants the good clients' keys there.
func (k *soak) restart(fs journal.FS, store engine.Options, kept map[string]string) {
	k.t.Helper()
	log, err := journal.Open(fs, journal.Options{})
	if err != nil {
		k.t.Fatal(err)
	}
	s := startServerOn(k.t, store, netio.Options{Journal: log})
	report, err := s.Load(k.t.Context())
	if err != nil {
		k.t.Fatal(err)
	}
	got := keptBy(k.t, s)
	if !maps.Equal(got, kept) {
		k.t.Errorf("%d keys are there after a restart, want %d", len(got), len(kept))
	}
	k.t.Logf("after a restart: %d keys of good clients, %+v", len(got), report)
	if err := s.stop(); err != nil {
		k.t.Error(err)
	}
	if err := log.Close(); err != nil {
		k.t.Error(err)
	}
}

// filesOutside is how many descriptors this process has that are not files of a directory. All are
// looked at once: the journal opens and closes files all the while.
func filesOutside(t *testing.T, dir string) (n int) {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil && !strings.HasPrefix(name, dir) {
			n++
		}
	}
	return n
}
