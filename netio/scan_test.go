package netio_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"keyframe/netio"
)

// TestPages: all pages together have each key once, with whatever limit, and other clients'
// writes in between take nothing away from that.
func TestPages(t *testing.T) {
	eachFraming(t, netio.Options{}, func(t *testing.T, c client) {
		const keys = 3000
		for i := range keys {
			c.send(fmt.Sprintf(`{"SETQ":{"page:%d":%d,"other:%d":"x"}}`, i, i%7, i))
		}
		for _, limit := range []int{1, 7, 1000, 100_000} {
			for _, find := range []bool{false, true} {
				seen, cursor := map[string]bool{}, ""
				for pages := 0; ; pages++ {
					ask := fmt.Sprintf(`"prefix":"page:","limit":%d%s}}`, limit, cursor)
					if find {
						c.send(`{"FIND":{"<=":2.0,` + ask)
					} else {
						c.send(`{"KEYS":{` + ask)
					}
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
						if seen[key] {
							t.Fatalf("%s is there twice", key)
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
					c.send(fmt.Sprintf(`{"SETQ":{"between:%d":1,"page:%d":0}}`, pages, pages%7))
				}
				want := keys
				if find {
					want = (keys + 6) / 7 * 3
				}
				if len(seen) < want-10 || len(seen) > want+10 || !find && len(seen) != keys {
					t.Fatalf("limit %d, find %t: %d keys, want %d", limit, find, len(seen), want)
				}
			}
		}
	})
}
