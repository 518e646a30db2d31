package client

import (
	"context"
	"fmt"
	"time"

	"github.com/bytedance/sonic"
)

// encoding writes what encoding/json would, with the members of maps in order, so that CAS and
// RemoveIf can compare texts, but leaves <, > and & as they are.
var encoding = sonic.Config{SortMapKeys: true, CompactMarshaler: true, CopyString: true, ValidateString: true}.Froze()

func decode(text []byte, v any) error { return encoding.Unmarshal(text, v) }

// GetJSON returns a key's value as a T, as encoding/json would decode it.
func GetJSON[T any](ctx context.Context, c *Client, key string) (v T, err error) {
	text, err := c.Get(ctx, key)
	if err != nil {
		return v, err
	}
	if err := decode(text, &v); err != nil {
		return v, fmt.Errorf("keyframe: the value of %q: %w", key, err)
	}
	return v, nil
}

// SetJSON stores v as JSON text. Objects, arrays and null need a server with --values any.
func SetJSON(ctx context.Context, c *Client, key string, v any) error {
	text, err := JSON(v)
	if err != nil {
		return err
	}
	return c.Set(ctx, key, text)
}

// SetJSONEx is SetJSON of a key that expires after ttl.
func SetJSONEx(ctx context.Context, c *Client, key string, v any, ttl time.Duration) error {
	text, err := JSON(v)
	if err != nil {
		return err
	}
	return c.SetEx(ctx, key, text, ttl)
}

// JSON is v as JSON text, for the methods that take one.
func JSON(v any) ([]byte, error) {
	text, err := encoding.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrValue, err)
	}
	return text, nil
}
