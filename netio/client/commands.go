package client

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"keyframe/codec"
	wire "keyframe/codec/client"
)

// null is the JSON text.
var null = []byte("null")

// NoDeadline is the time to live of a key that lives until it is removed.
const NoDeadline time.Duration = -1

// millis is a time to live on the wire: whole milliseconds, none of them lost.
func millis(ttl time.Duration) int64 { return int64((ttl + time.Millisecond - 1) / time.Millisecond) }

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// String is the JSON text of a string.
func String(s string) []byte { return codec.AppendString(make([]byte, 0, len(s)+2), bytesOf(s)) }

// Set stores a value, which is JSON text: String, SetJSON or strconv make it. A key that
// exists gets the new value, and no deadline.
func (c *Client) Set(ctx context.Context, key string, value []byte) error {
	return c.pair(ctx, codec.OpSet, key, value)
}

// SetEx is Set of a key that expires after ttl, which is rounded up to milliseconds.
func (c *Client) SetEx(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return c.timedPair(ctx, codec.OpSetEx, key, value, ttl)
}

// Add is Set of a key that does not exist; of one that does it gives ErrExists.
func (c *Client) Add(ctx context.Context, key string, value []byte) error {
	return c.pair(ctx, codec.OpAdd, key, value)
}

// AddEx is Add of a key that expires after ttl: a lock that frees itself.
func (c *Client) AddEx(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return c.timedPair(ctx, codec.OpAddEx, key, value, ttl)
}

// Swap is Set, and returns the value that was there, nil if there was none.
func (c *Client) Swap(ctx context.Context, key string, value []byte) (old []byte, err error) {
	k, err := newPairCall(codec.OpSwap, key, value)
	if err == nil {
		old, err = c.value(ctx, k)
	}
	return old, err
}

// CAS stores a value if the expected one is there: the same text, byte for byte. ErrDiffers:
// there is another one; ErrNotExist: there is none. With expected nil the key must not exist,
// and there is ErrExists. A deadline stays.
func (c *Client) CAS(ctx context.Context, key string, expected, value []byte) error {
	if expected == nil {
		expected = null
	}
	k := newCall(codec.OpCompareSet)
	k.open()
	text, err := appendComparison(k.text, key, expected, value)
	if err != nil {
		k.release()
		return err
	}
	k.text = text
	k.close()
	k.key, k.keyed = key, true
	return c.status(ctx, k)
}

// RemoveIf removes a key if its value is the expected one: a lock is given back by its holder
// only. Otherwise there is ErrDiffers or ErrNotExist.
func (c *Client) RemoveIf(ctx context.Context, key string, expected []byte) error {
	return c.pair(ctx, codec.OpCompareRemove, key, expected)
}

// Append appends a string to a string and, on a server with --values any, an array to an array
// or an object to an object. A key that does not exist is stored.
func (c *Client) Append(ctx context.Context, key string, value []byte) error {
	return c.pair(ctx, codec.OpAppend, key, value)
}

// Update sets places in a value; places is a JSON object of JSON Pointers and values. The
// server must have --values any.
func (c *Client) Update(ctx context.Context, key string, places []byte) error {
	return c.pair(ctx, codec.OpUpdate, key, places)
}

// Incr adds to a whole number of 64 bits and returns the sum. A key that does not exist counts
// from 0. ErrNotInteger: what is there is no such number, or the sum would be none.
func (c *Client) Incr(ctx context.Context, key string, by int64) (sum int64, err error) {
	var room [20]byte
	k, err := newPairCall(codec.OpIncr, key, appendInt(room[:0], by))
	if err != nil {
		return 0, err
	}
	if err := c.call(ctx, k); err != nil {
		return 0, err
	}
	defer k.release()
	return strconv.ParseInt(string(k.value), 10, 64)
}

// Get returns a key's value, as the text that was stored. ErrNotExist: there is none.
func (c *Client) Get(ctx context.Context, key string) ([]byte, error) {
	k, err := newKeyCall(codec.OpGet, key)
	if err != nil {
		return nil, err
	}
	return c.value(ctx, k)
}

// AppendGet is Get that appends the value to dst. It allocates nothing if there is room.
func (c *Client) AppendGet(ctx context.Context, dst []byte, key string) ([]byte, error) {
	k, err := newKeyCall(codec.OpGet, key)
	if err == nil {
		err = c.call(ctx, k)
	}
	if err != nil {
		return dst, err
	}
	dst = append(dst, k.value...)
	k.release()
	return dst, nil
}

// Take returns a key's value and removes it, in one step.
func (c *Client) Take(ctx context.Context, key string) ([]byte, error) {
	k, err := newKeyCall(codec.OpTake, key)
	if err != nil {
		return nil, err
	}
	return c.value(ctx, k)
}

// Remove removes a key. ErrNotExist: it was not there.
func (c *Client) Remove(ctx context.Context, key string) error {
	k, err := newKeyCall(codec.OpRemove, key)
	if err != nil {
		return err
	}
	return c.status(ctx, k)
}

// Contains reports whether a key exists.
func (c *Client) Contains(ctx context.Context, key string) (bool, error) {
	k, err := newKeyCall(codec.OpContains, key)
	if err == nil {
		err = c.exchange(ctx, k)
	}
	if err != nil {
		return false, err
	}
	defer k.release()
	switch k.status {
	case codec.StatusKeyExists:
		return true, nil
	case codec.StatusKeyNotExist:
		return false, nil
	}
	return false, k.result()
}

// Rename gives a key's value another key, atomically. ErrNotExist: there is none; ErrExists:
// the other key exists.
func (c *Client) Rename(ctx context.Context, key, to string) error {
	if !utf8.ValidString(key) || !utf8.ValidString(to) {
		return keyError(key + to)
	}
	k := newCall(codec.OpRename)
	k.open()
	k.text = wire.AppendRename(k.text, bytesOf(key), bytesOf(to))
	k.close()
	k.key, k.keyed = key, true
	return c.status(ctx, k)
}

// Expire gives a key a time to live, of 1 ms or more.
func (c *Client) Expire(ctx context.Context, key string, ttl time.Duration) error {
	var room [20]byte
	return c.pair(ctx, codec.OpExpire, key, appendInt(room[:0], millis(ttl)))
}

// Persist takes a key's time to live away.
func (c *Client) Persist(ctx context.Context, key string) error {
	return c.pair(ctx, codec.OpExpire, key, null)
}

// TTL returns how long a key has to live, or NoDeadline.
func (c *Client) TTL(ctx context.Context, key string) (time.Duration, error) {
	k, err := newKeyCall(codec.OpTTL, key)
	if err == nil {
		err = c.call(ctx, k)
	}
	if err != nil {
		return 0, err
	}
	defer k.release()
	if bytes.Equal(k.value, null) {
		return NoDeadline, nil
	}
	ms, err := strconv.ParseInt(string(k.value), 10, 64)
	return time.Duration(ms) * time.Millisecond, err
}

// Count returns how many keys there are.
func (c *Client) Count(ctx context.Context) (int64, error) { return c.count(ctx, codec.OpCount) }

// Clear removes all keys, and returns how many there were.
func (c *Client) Clear(ctx context.Context) (int64, error) { return c.count(ctx, codec.OpClear) }

// Ping asks whether the server answers.
func (c *Client) Ping(ctx context.Context) error {
	k := newCall(codec.OpPing)
	k.open()
	k.close()
	return c.status(ctx, k)
}

// Info returns what the server says about itself: the JSON object of SERVER_INFO.
func (c *Client) Info(ctx context.Context) ([]byte, error) { return c.members(ctx, codec.OpServerInfo) }

// Save has a snapshot of the store on disk, and returns when it is there, with the JSON object
// that the server describes it by. See Options.Silence.
func (c *Client) Save(ctx context.Context) ([]byte, error) { return c.members(ctx, codec.OpSave) }

// pair sends one pair and returns the error of its status.
func (c *Client) pair(ctx context.Context, op codec.Opcode, key string, value []byte) error {
	k, err := newPairCall(op, key, value)
	if err != nil {
		return err
	}
	return c.status(ctx, k)
}

func (c *Client) timedPair(ctx context.Context, op codec.Opcode, key string, value []byte, ttl time.Duration) error {
	k := newCall(op)
	k.text = wire.AppendTimedOpen(k.text, op, millis(ttl))
	k, err := k.pair(key, value)
	if err != nil {
		return err
	}
	return c.status(ctx, k)
}

// status sends a call and returns the error of its status.
func (c *Client) status(ctx context.Context, k *call) error {
	err := c.call(ctx, k)
	if err == nil {
		k.release()
	}
	return err
}

// value sends a call and returns a copy of the value that it is answered with, nil if it
// succeeds without one.
func (c *Client) value(ctx context.Context, k *call) ([]byte, error) {
	if err := c.call(ctx, k); err != nil {
		return nil, err
	}
	var value []byte
	if k.op.Values().Has(k.status) {
		value = make([]byte, len(k.value))
		copy(value, k.value)
	}
	k.release()
	return value, nil
}

func (c *Client) count(ctx context.Context, op codec.Opcode) (int64, error) {
	k := newCall(op)
	k.open()
	k.close()
	if err := c.call(ctx, k); err != nil {
		return 0, err
	}
	defer k.release()
	return k.count, nil
}

func (c *Client) members(ctx context.Context, op codec.Opcode) ([]byte, error) {
	k := newCall(op)
	k.open()
	k.close()
	if err := c.exchange(ctx, k); err != nil {
		return nil, err
	}
	defer k.release()
	if k.status == codec.StatusUnavailable {
		var why struct {
			Message string `json:"m"`
		}
		if err := decode(k.value, &why); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrProtocol, err)
		}
		return nil, statusError(k.status, []byte(why.Message))
	}
	if err := k.result(); err != nil {
		return nil, err
	}
	return bytes.Clone(k.value), nil
}
