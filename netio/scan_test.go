package netio_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"keyframe/netio"
)

// TestPages: all pages together have each key once, with whatever limit, and other clients'
// writes in between take nothing away from that. What a FIND has matches at that moment, and each
// key that does throughout is there once.
func TestPages(t *testing.T) {
	eachFraming(t, netio.Options{}, func(t *testing.T, c client) {
		const keys = 3000
		values := map[string]int{}
		for i := range keys {
			values[fmt.Sprint("page:", i)] = i % 7
			c.send(fmt.Sprintf(`{"SETQ":{"page:%d":%d,"other:%d":"x"}}`, i, i%7, i))
		}
		for _, limit := range []int{1, 7, 1000, 100_000} {
			for _, command := range []string{`{"KEYS":{`, `{"FIND":{"<=":2.0,`} {
				matches := func(key string) bool {
					value, ok := values[key]
					return ok && (command[2] == 'K' || value <= 2)
				}
				throughout := map[string]bool{}
				for key := range values {
					throughout[key] = matches(key)
				}
				seen, cursor := map[string]bool{}, ""
				for pages := 0; ; pages++ {
					c.send(fmt.Sprintf(`%s"prefix":"page:","limit":%d%s}}`, command, limit, cursor))
					var page struct {
						Keys   []string
						Cursor *string
					}
					text := c.recv()
					var all map[string]json.RawMessage
					if err := json.Unmarshal([]byte(text), &all); err != nil {
						t.Fatal(text, err)
					}
					for _, body := range all {
						if err := json.Unmarshal(body, &page); err != nil {
							t.Fatal(text, err)
						}
					}
					for _, key := range page.Keys {
						if seen[key] || !matches(key) {
							t.Fatalf("%s, limit %d: %s is there twice, or does not match", command, limit, key)
						}
						seen[key] = true
					}
					if page.Cursor == nil {
						break
					}
					if pages > 3*keys {
						t.Fatal("there is no last page")
					}
					cursor = fmt.Sprintf(`,"cursor":%q`, *page.Cursor)
					key := fmt.Sprint("page:", pages*13%keys)
					values[key] = pages % 5
					c.send(fmt.Sprintf(`{"SETQ":{"between:%d":1,%q:%d}}`, pages, key, values[key]))
					throughout[key] = throughout[key] && matches(key)
				}
				for key, there := range throughout {
					if there && !seen[key] {
						t.Fatalf("%s, limit %d: %s is on no page", command, limit, key)
					}
				}
			}
		}
	})
}

// TestCursors: a cursor holds on another connection and after a CLEAR, while keys come, and what
// is none is refused by every protocol instead of being taken for the end.
func TestCursors(t *testing.T) {
	s, another := startServer(t, netio.Options{}), startServer(t, netio.Options{})
	fill := func(s *testServer, from, n int) {
		c := dialLines(t, "tcp", s.tcp)
		for i := range n {
			c.send(fmt.Sprintf(`{"SETQ":{"page:%d":1}}`, from+i))
		}
		converse(t, c, nil)
		c.send(`{"PING":{}}`)
		c.recv()
	}
	type answer struct {
		St     int
		Keys   []string
		Cursor string
	}
	page := func(s *testServer, command, name, more string) answer {
		t.Helper()
		c := dialLines(t, "tcp", s.tcp)
		defer c.Close()
		c.send(fmt.Sprintf(`{"%s":{"limit":100%s}}`, command, more))
		text := c.recv()
		var all map[string]answer
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			t.Fatal(text, err)
		}
		return all[name]
	}
	keys := func(s *testServer, cursor string) answer {
		t.Helper()
		return page(s, "KEYS", "KEYS_RSP", fmt.Sprintf(`,"cursor":%q`, cursor))
	}
	fill(s, 0, 1000)
	fill(another, 0, 1000)
	first := page(s, "KEYS", "KEYS_RSP", "")
	if first.St != 0 || len(first.Keys) < 100 || first.Cursor == "" {
		t.Fatalf("the first page is %+v", first)
	}
	wrong := []string{"", "0", "?", "abc", "ABC", "000abc", "3w5e11264sgsf", "0" + first.Cursor, page(another, "KEYS", "KEYS_RSP", "").Cursor}
	r := dialRESP(t, s.tcp)
	for _, cursor := range wrong {
		if got := keys(s, cursor); got.St != 12 {
			t.Errorf("KEYS from %q: %+v", cursor, got)
		}
		if got := page(s, "FIND", "FIND_RSP", fmt.Sprintf(`,"==":1,"cursor":%q`, cursor)); got.St != 12 {
			t.Errorf("FIND from %q: %+v", cursor, got)
		}
		c := dialLines(t, "tcp", s.tcp)
		c.sendRaw("GET /kv/?limit=100&cursor=" + strings.ReplaceAll(cursor, "?", "%3F") + " HTTP/1.0\r\n\r\n")
		if got := c.recv(); got != "HTTP/1.1 400 Bad Request\r" {
			t.Errorf("HTTP from %q: %q", cursor, got)
		}
	}
	const invalid = "-ERR invalid cursor"
	for _, cursor := range []string{"", "x", "-1", "4398046511104", "18446744073709551615", "18446744073709551616"} {
		if got := r.ask("SCAN", cursor); got != invalid {
			t.Errorf("SCAN from %q: %q", cursor, got)
		}
	}
	number, accepted := "0", 0
	for range 8 { // one of two thousand passes
		number = strings.TrimPrefix(strings.Fields(dialRESP(t, another.tcp).ask("SCAN", number))[1], "$")
		if r.ask("SCAN", number) != invalid {
			accepted++
		}
	}
	if accepted > 2 {
		t.Errorf("SCAN takes %d of 8 cursors of another server's", accepted)
	}

	// What was there from the first page on is on one of the pages, and on one only, while the
	// store grows to six times of what it was.
	seen := map[string]int{}
	for at, pages := first, 0; ; pages++ {
		for _, key := range at.Keys {
			seen[key]++
		}
		if at.Cursor == "" {
			break
		}
		if pages < 5 {
			fill(s, 1000*(pages+1), 1000)
		}
		if at = keys(s, at.Cursor); at.St != 0 {
			t.Fatalf("a later page is %+v", at)
		}
	}
	for i := range 1000 {
		if key := fmt.Sprint("page:", i); seen[key] != 1 {
			t.Errorf("%s is there %d times", key, seen[key])
		}
	}
	number = strings.TrimPrefix(strings.Fields(r.ask("SCAN", "0"))[1], "$")
	c := dialLines(t, "tcp", s.tcp)
	c.send(`{"CLEAR":{}}`)
	c.recv()
	if got := keys(s, first.Cursor); got.St != 0 || len(got.Keys) != 0 || got.Cursor != "" {
		t.Errorf("after a CLEAR: %+v", got)
	}
	fill(s, 0, 1000)
	if got := keys(s, first.Cursor); got.St != 0 || len(got.Keys) < 100 {
		t.Errorf("after a CLEAR, with new keys: %+v", got)
	}
	if got := dialRESP(t, s.tcp).ask("SCAN", number); !strings.HasPrefix(got, "*2 $") {
		t.Errorf("SCAN from %s after a CLEAR: %q", number, got)
	}
}
