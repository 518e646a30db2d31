package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"keyframe/netio"
	"keyframe/netio/client"
)

// model is what one goroutine's keys should be. Values are numbers and strings.
type model struct {
	t    *testing.T
	c    *client.Client
	rng  *rand.Rand
	name int
	keys map[string]string
}

func (m *model) key() string { return fmt.Sprintf("model:%d:%d", m.name, m.rng.IntN(20)) }

func (m *model) value() string {
	if m.rng.IntN(2) == 0 {
		return strconv.Itoa(m.rng.IntN(5))
	}
	return strconv.Quote(fmt.Sprint("v", m.rng.IntN(5)))
}

// step does one thing to the server and to the map, and compares.
func (m *model) step(ctx context.Context) {
	m.t.Helper()
	key, value := m.key(), m.value()
	old, there := m.keys[key]
	missing := error(nil)
	if !there {
		missing = client.ErrNotExist
	}
	check := func(what string, err, wanted error) {
		m.t.Helper()
		if wanted == nil && err != nil || !errors.Is(err, wanted) {
			m.t.Errorf("%s %s %s, of %q: %v, want %v", what, key, value, old, err, wanted)
		}
	}
	switch m.rng.IntN(10) {
	case 0, 1:
		check("Set", m.c.Set(ctx, key, []byte(value)), nil)
		m.keys[key] = value
	case 2:
		if err := m.c.Add(ctx, key, []byte(value)); there {
			check("Add", err, client.ErrExists)
		} else {
			check("Add", err, nil)
			m.keys[key] = value
		}
	case 3, 4:
		got, err := m.c.Get(ctx, key)
		if check("Get", err, missing); string(got) != old {
			m.t.Errorf("%s is %s, want %s", key, got, old)
		}
	case 5:
		check("Remove", m.c.Remove(ctx, key), missing)
		delete(m.keys, key)
	case 6:
		got, err := m.c.Take(ctx, key)
		if check("Take", err, missing); string(got) != old {
			m.t.Errorf("%s was %s, want %s", key, got, old)
		}
		delete(m.keys, key)
	case 7:
		n, convErr := strconv.Atoi(old)
		got, err := m.c.Incr(ctx, key, 3)
		if there && convErr != nil {
			check("Incr", err, client.ErrNotInteger)
			break
		}
		if check("Incr", err, nil); got != int64(n+3) {
			m.t.Errorf("%s is %d, want %d", key, got, n+3)
		}
		m.keys[key] = strconv.Itoa(n + 3)
	case 8:
		expected := m.value()
		err := m.c.CAS(ctx, key, []byte(expected), []byte(value))
		switch {
		case !there:
			check("CAS", err, client.ErrNotExist)
		case old != expected:
			check("CAS", err, client.ErrDiffers)
		default:
			check("CAS", err, nil)
			m.keys[key] = value
		}
	case 9:
		m.batch(ctx)
	}
}

// batch sends some sets, gets and removals at once. The quiet ones are followed by gets.
func (m *model) batch(ctx context.Context) {
	m.t.Helper()
	var b client.Batch
	type wanted struct {
		value string
		err   error
	}
	var all []wanted
	for range m.rng.IntN(30) {
		key, value := m.key(), m.value()
		old, there := m.keys[key]
		b.Quiet = m.rng.IntN(3) == 0
		switch m.rng.IntN(3) {
		case 0:
			b.Set(key, []byte(value))
			m.keys[key] = value
			all = append(all, wanted{})
		case 1:
			b.Get(key)
			w := wanted{old, nil}
			if !there {
				w.err = client.ErrNotExist
			}
			all = append(all, w)
		case 2:
			// Twice the same key in a quiet command could fail at the other place.
			if b.Quiet = b.Quiet && there; there {
				all = append(all, wanted{})
			} else {
				all = append(all, wanted{"", client.ErrNotExist})
			}
			b.Remove(key)
			delete(m.keys, key)
		}
	}
	if err := m.c.Do(ctx, &b); err != nil {
		m.t.Error(err)
		return
	}
	for i, w := range all {
		if string(b.Value(i)) != w.value || w.err == nil && b.Err(i) != nil || !errors.Is(b.Err(i), w.err) {
			m.t.Errorf("number %d, %s: %q, %v, want %q, %v", i, b.Key(i), b.Value(i), b.Err(i), w.value, w.err)
		}
	}
}

// TestModel: goroutines with keys of their own do what they would do to a map, over one
// connection, beside others that give up at random.
func TestModel(t *testing.T) {
	c := start(t, netio.Options{}, client.Options{MaxInFlight: 50})
	rng := random(t)
	steps := 3000
	if testing.Short() {
		steps = 300
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all, quitters sync.WaitGroup
	for i := range 4 {
		rng := rand.New(rand.NewPCG(rng.Uint64(), 0))
		quitters.Go(func() {
			for ctx.Err() == nil {
				once, stop := context.WithCancel(ctx)
				go stop()
				key := fmt.Sprintf("quitter:%d:%d", i, rng.IntN(100))
				var lost *client.ConnError
				got, err := c.Swap(once, key, []byte(strconv.Quote(key)))
				if err == nil && got != nil && string(got) != strconv.Quote(key) || err != nil && !errors.As(err, &lost) {
					t.Errorf("%s was %s, %v", key, got, err)
				}
				if err := c.Ping(t.Context()); err != nil { // so that the others have their turns
					t.Error(err)
				}
			}
		})
	}
	for i := range 8 {
		m := &model{t, c, rand.New(rand.NewPCG(rng.Uint64(), 0)), i, map[string]string{}}
		all.Go(func() {
			for range steps {
				if m.step(t.Context()); t.Failed() {
					return
				}
			}
			got := map[string]string{}
			for p, err := range c.Scan(t.Context(), client.Query{Prefix: fmt.Sprintf("model:%d:", i), Values: true, PageKeys: 7}) {
				if err != nil {
					t.Error(err)
					return
				}
				got[p.Key] = string(p.Value)
			}
			if fmt.Sprint(got) != fmt.Sprint(m.keys) {
				t.Errorf("%v, want %v", got, m.keys)
			}
		})
	}
	all.Wait()
	cancel()
	quitters.Wait()
	want(t, "weight", client.Weight(c), nil)
}

// TestReconnecting: while connections are cut again and again, no call gets another's answer,
// and none is left without one.
func TestReconnecting(t *testing.T) {
	p, _ := startProxy(t)
	rng := random(t)
	p.do(func() {
		p.plan = func(int) (int, int, bool) {
			return 20 + rng.IntN(3000), 30 + rng.IntN(3000), rng.IntN(2) == 0
		}
	})
	dialed := func() (*client.Client, error) {
		return client.Dial(t.Context(), p.addr(), quick(client.Options{Retry: client.RetryAll, MaxRetries: 1000}))
	}
	c, err := dialed()
	for err != nil {
		c, err = dialed()
	}
	defer c.Close()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			key := fmt.Sprintf("own:%05d", i)
			for n := range 100 {
				if err := c.Set(t.Context(), key, fmt.Append(nil, i*1000+n)); err != nil {
					t.Error(err)
				}
				if got, err := c.Get(t.Context(), key); err != nil || string(got) != fmt.Sprint(i*1000+n) {
					t.Errorf("%s is %s, %v, want %d", key, got, err, i*1000+n)
				}
			}
		})
	}
	all.Wait()
	p.do(func() {
		if p.accepted < 10 {
			t.Errorf("%d connections", p.accepted)
		}
	})
}
