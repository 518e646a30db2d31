package journal

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
)

// withProcessors calls f with n processors of Go's scheduler and with the environment's
// GOMAXPROCS, if any, and then goes back to what was there.
func withProcessors(t *testing.T, n int, env string, f func()) {
	t.Helper()
	t.Setenv("GOMAXPROCS", env)
	if env == "" {
		_ = os.Unsetenv("GOMAXPROCS") // as it was, at the end of the test
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
	f()
}

// TestAddProcessor: one becomes two, once, and then what the environment says or, without it,
// what Go would choose. More than one stay as they are.
func TestAddProcessor(t *testing.T) {
	j := &Journal{opts: Options{AddProcessors: true}}
	was := runtime.GOMAXPROCS(0)
	runtime.SetDefaultGOMAXPROCS()
	chosen := runtime.GOMAXPROCS(was)
	for _, c := range []struct {
		procs         int
		env           string
		during, after int
	}{
		{1, "1", 2, 1}, {1, "", 2, chosen}, {1, "none", 2, chosen}, {1, "0", 2, chosen},
		{2, "1", 2, 2}, {5, "", 5, 5}, {5, "1", 5, 5},
	} {
		withProcessors(t, c.procs, c.env, func() {
			remove := j.addProcessor()
			j.addProcessor()() // nothing: there are two
			during := runtime.GOMAXPROCS(0)
			remove()
			if after := runtime.GOMAXPROCS(0); during != c.during || after != c.after {
				t.Errorf("%d processors, GOMAXPROCS=%q: %d and then %d, want %d and then %d", c.procs, c.env, during, after, c.during, c.after)
			}
		})
	}
	withProcessors(t, 1, "1", func() {
		var n []int
		note := func() { n = append(n, runtime.GOMAXPROCS(0)) }
		removeFirst := j.addProcessor()
		removeSecond := j.addProcessor()
		removeFirst()
		note()
		removeThree := addProcessors(3)
		note()
		removeSecond()
		removeFourth := j.addProcessor()
		note()
		removeThree()
		note()
		removeFourth()
		note()
		if want := []int{2, 4, 4, 2, 1}; !slices.Equal(n, want) {
			t.Errorf("%d processors as several ask and go, want %d", n, want)
		}
	})
	withProcessors(t, 1, "1", func() {
		remove := j.addProcessor()
		runtime.GOMAXPROCS(1) // as a program that has its own mind
		j.addProcessor()()
		if n := runtime.GOMAXPROCS(0); n != 1 {
			t.Errorf("%d processors while another has added one, want 1", n)
		}
		remove()
	})
}

// TestSnapshotProcessors: only a snapshot beside other work has a second processor, and only
// if the program allows it.
func TestSnapshotProcessors(t *testing.T) {
	for _, c := range []struct {
		allowed, gentle bool
		want            int
	}{{true, true, 2}, {true, false, 1}, {false, true, 1}} {
		withProcessors(t, 1, "1", func() {
			opts := small(EverySec)
			opts.AddProcessors = c.allowed
			s := &counting{store: newStore(2)}
			j, err := Open(newMemFS(), opts)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := j.Recover(s); err != nil {
				t.Fatal(err)
			}
			if err := j.Start(s); err != nil {
				t.Fatal(err)
			}
			if _, err := j.Snapshot(c.gentle); err != nil || s.processors != c.want || runtime.GOMAXPROCS(0) != 1 {
				t.Errorf("allowed %v, gentle %v: %d processors, %d after it, want %d and 1: %v", c.allowed, c.gentle, s.processors, runtime.GOMAXPROCS(0), c.want, err)
			}
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAlwaysProcessors: Always has a second processor while it runs, if the program allows it,
// and one for each group that can be written at once, however many there are already.
func TestAlwaysProcessors(t *testing.T) {
	for _, c := range []struct {
		mode    Mode
		block   int
		allowed bool
		procs   int
		want    int
	}{
		{Always, 0, true, 1, 2}, {Always, 0, false, 1, 1}, {EverySec, 512, true, 1, 1}, {No, 512, true, 1, 1}, {Always, 0, true, 2, 2},
		{Always, 512, true, 1, 1 + processorsOfWriters}, {Always, 512, true, 3, 3 + processorsOfWriters}, {Always, 512, false, 3, 3},
	} {
		withProcessors(t, c.procs, strconv.Itoa(c.procs), func() {
			fs := newMemFS()
			fs.block = c.block
			opts := small(c.mode)
			opts.AddProcessors, opts.Manual = c.allowed, false
			o := open(t, fs, 2, opts)
			if n := runtime.GOMAXPROCS(0); n != c.want {
				t.Errorf("%+v: %d processors", c, n)
			}
			if err := o.Close(); err != nil || runtime.GOMAXPROCS(0) != c.procs {
				t.Errorf("%+v: then %d processors, %v", c, runtime.GOMAXPROCS(0), err)
			}
		})
	}
}

// counting is a store that notes how many processors there are when it is asked for keys.
type counting struct {
	*store
	processors int
}

func (c *counting) Some(cursor uint64, f func(*Change)) (next uint64, done bool) {
	c.processors = runtime.GOMAXPROCS(0)
	return c.store.Some(cursor, f)
}
