package load

import (
	"context"
	"fmt"
	"io"
	"time"
)

// verifyKeys is how many keys are read back with one command.
const verifyKeys = 100

// verify reads back, over a connection of its own, every key that was set in the
// run and in its filling, and compares its value. A key may be missing only when the mix removes
// keys. It returns how many keys it read.
func verify(ctx context.Context, o Options, workers []*worker) (int, error) {
	written := make([]bool, o.Space)
	for i := range written {
		written[i] = o.Fill
	}
	for _, w := range workers {
		for _, c := range w.conns {
			for k := range min(c.answered, c.script.period()) {
				if kind := c.script.kind(k); kind == Set || kind == Add {
					for _, key := range c.script.keysOf(k) {
						written[key] = true
					}
				}
			}
		}
	}
	p := newProtocol(o)
	c, err := dial(&o, p)
	if err != nil {
		return 0, err
	}
	defer c.Close() // nothing is lost with it

	var (
		command, buf []byte
		found        [verifyKeys]bool
		read         int
	)
	check := func(keys []uint64) error {
		if len(keys) == 0 {
			return nil
		}
		_ = c.SetDeadline(time.Now().Add(o.Timeout))
		command = p.appendCommand(command[:0], Get, keys)
		if _, err := c.Write(command); err != nil {
			return err
		}
		for {
			used, err := p.compare(buf, keys, found[:len(keys)])
			if err != nil {
				return err
			}
			if used > 0 {
				buf = append(buf[:0], buf[used:]...)
				break
			}
			n := len(buf)
			buf = grow(buf, 64<<10)
			m, err := c.Read(buf[n:])
			buf = buf[:n+m]
			if m == 0 {
				if err == io.EOF {
					err = fmt.Errorf("the server closed the connection")
				}
				return err
			}
		}
		for i, ok := range found[:len(keys)] {
			if !ok && o.Mix[Remove] == 0 {
				return fmt.Errorf("key number %d was set and is not there", keys[i])
			}
		}
		read += len(keys)
		return nil
	}
	every, passed := 1, 0
	if o.VerifySample > 0 {
		every = max(o.Space/o.VerifySample, 1)
	}
	keys := make([]uint64, 0, verifyKeys)
	for key, was := range written {
		if !was {
			continue
		}
		if passed++; passed%every != 0 {
			continue
		}
		if keys = append(keys, uint64(key)); len(keys) == verifyKeys {
			if err := check(keys); err != nil || ctx.Err() != nil {
				return read, err
			}
			keys = keys[:0]
		}
	}
	return read, check(keys)
}
