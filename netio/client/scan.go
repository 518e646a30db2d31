package client

import (
	"context"
	"fmt"
	"iter"

	"keyframe/codec"
	wire "keyframe/codec/client"
)

// Query is which keys Scan lists. The zero value is all keys, without their values.
type Query struct {
	Prefix   string // what they begin with
	Values   bool   // with their values
	PageKeys int    // how many the server looks up at a time, 1 to 100,000; default 1,000

	// Compare, one of == != < <= > >=, lists only keys whose value compares so with With, which
	// is JSON text: the value itself or, on a server with --values any, what it has at Path, a
	// JSON Pointer.
	Compare string
	With    []byte
	Path    string
}

// Pair is a key, and its value if that was asked for.
type Pair struct {
	Key   string
	Value []byte
}

// Scan lists keys in no particular order, page by page: a page is asked for when the one before
// has been gone through. A key that exists from the first page to the last is seen exactly
// once; one that comes or goes meanwhile may be seen or not. An error ends the list. If it is a
// *ServerError with Code 12, the server has been started anew and knows no place in its keys.
func (c *Client) Scan(ctx context.Context, q Query) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		query := wire.Query{Limit: q.PageKeys, Values: q.Values, Compare: q.Compare}
		op := codec.OpKeys
		if q.Prefix != "" {
			query.Prefix = []byte(q.Prefix)
		}
		if q.Compare != "" {
			op = codec.OpFind
			with, err := checked(q.With)
			if err != nil {
				yield(Pair{}, err)
				return
			}
			query.With = append([]byte(nil), with...)
			joinLines(query.With, len(query.With))
			if q.Path != "" {
				query.Path = []byte(q.Path)
			}
		}
		if !codec.ValidUTF8(query.Prefix) || !codec.ValidUTF8(query.Path) {
			yield(Pair{}, keyError(q.Prefix+q.Path))
			return
		}
		parser := wire.NewParser()
		for more, page := true, (wire.Response{}); more; {
			k := newCall(op)
			k.open()
			k.text = wire.AppendQuery(k.text, &query)
			k.close()
			if err := c.call(ctx, k); err != nil {
				yield(Pair{}, err)
				return
			}
			page.Value = append(page.Value[:0], k.value...)
			query.Cursor = append(query.Cursor[:0], k.cursor...)
			more = k.more
			k.release()
			stopped := false
			err := parser.Keys(&page, func(key, value []byte) bool {
				pair := Pair{Key: string(key)}
				if q.Values {
					pair.Value = append([]byte{}, value...)
				}
				stopped = !yield(pair, nil)
				return !stopped
			})
			if err != nil && !stopped {
				yield(Pair{}, fmt.Errorf("%w: %w", ErrProtocol, err))
			}
			if err != nil || stopped {
				return
			}
		}
	}
}
