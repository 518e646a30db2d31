package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Keys are read back verifyKeys to a command, fewer if their values are long, because all
// of an answer is looked at again whenever a part of it comes.
const (
	verifyKeys  = 100
	verifyBytes = 1 << 20
)

// What a run did to a key.
const (
	wasSet uint8 = 1 << iota
	wasAdded
	wasRemoved
)

// during is what GETs during the run may find.
func (o *Options) during() accept {
	a := fillValue | runValue
	if !o.Fill && o.Mix[Add] > 0 {
		a |= anyValue // an older value may have stayed
	}
	if !o.Fill || o.Mix[Remove] > 0 {
		a |= noValue
	}
	return a
}

// missing is the error for keys that GET and CONTAINS did not find, or nil where they
// may not be there: a RMV of the run has taken them, or the store was not filled and
// misses are allowed. A run whose GETs find nothing has not measured GETs.
func (o *Options) missing(byKind *[kinds]OfKind) error {
	found := byKind[Get].Tally
	found.add(byKind[Contains].Tally)
	switch {
	case found.Misses == 0 || o.Mix[Remove] > 0:
		return nil
	case o.Fill:
		return fmt.Errorf("%d of %d keys that were looked up were not there, and the store had all", found.Misses, found.Hits+found.Misses)
	case o.AllowMisses:
		return nil
	}
	return fmt.Errorf("%d of %d keys that were looked up were not there: fill the store first, or allow misses", found.Misses, found.Hits+found.Misses)
}

// after is what a GET after the run must find of a key, by what was done to it. addMissed
// means that some ADD found its key there.
func (o *Options) after(did uint8, addMissed bool) (a accept) {
	switch {
	case did&wasSet != 0:
		a = runValue
	case did&wasAdded != 0 && o.Fill && did&wasRemoved == 0:
		a = fillValue
	case did&wasAdded != 0 && !o.Fill && addMissed:
		a = anyValue
	case did&wasAdded != 0:
		a = runValue
	case did&wasRemoved == 0:
		a = fillValue
	}
	if did&wasRemoved != 0 {
		a |= noValue
	}
	return a
}

// writes replays what the connections have written and removed, by key.
func writes(o *Options, workers []*worker) []uint8 {
	did := make([]uint8, o.Space)
	for _, w := range workers {
		for _, c := range w.conns {
			s := newScript(o, w.p, templates{}, c.index)
			for k := range c.answered {
				bit := [kinds]uint8{Set: wasSet, Add: wasAdded, Remove: wasRemoved}[s.kind(k)]
				for _, key := range s.next(k) {
					did[key] |= bit
				}
			}
		}
	}
	return did
}

// verify reads back, over a connection of its own, every key that was written or
// removed in the run, or set in its filling, and compares it with what must be there.
// It returns how many keys it read.
func verify(ctx context.Context, o Options, workers []*worker) (read int, err error) {
	did := writes(&o, workers)
	addMissed := slices.ContainsFunc(workers, func(w *worker) bool { return w.addMissed })
	p := newProtocol(o)
	c, sealed, err := dial(&o, p)
	if err != nil {
		return 0, err
	}
	defer c.Close() // it was only read
	if sealed != nil {
		c = sealed.Waiting()
	}

	var command, buf []byte
	var keys []uint64
	var accepts []accept
	most := min(max(verifyBytes/o.ValueSize, 1), verifyKeys)
	check := func() error {
		if len(keys) == 0 {
			return nil
		}
		_ = c.SetDeadline(time.Now().Add(o.Timeout))
		command = p.appendCommand(command[:0], Get, keys)
		if _, err := c.Write(command); err != nil {
			return err
		}
		for {
			used, _, err := p.check(buf, Get, keys, accepts)
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
					err = errors.New("the server closed the connection")
				}
				return err
			}
		}
		read += len(keys)
		keys, accepts = keys[:0], accepts[:0]
		return nil
	}
	every, passed := 1, 0
	if o.VerifySample > 0 {
		every = max(o.Space/o.VerifySample, 1)
	}
	for key := range did {
		if did[key] == 0 && !o.Fill {
			continue
		}
		if passed++; passed%every != 0 {
			continue
		}
		keys, accepts = append(keys, uint64(key)), append(accepts, o.after(did[key], addMissed))
		if len(keys) == most {
			if err := check(); err != nil || ctx.Err() != nil {
				return read, err
			}
		}
	}
	return read, check()
}
