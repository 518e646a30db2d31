package bench

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// This file measures KEYS through a server that is a process of its own, as those of TLS are:
// how fast all pages come, and what a client has of another that asks for them without end.

const modeEnv = "KEYFRAME_BENCH_MODE" // what a walk asks for

// walker asks for pages. It looks at their ends only, so that it is the server that is measured.
type walker struct {
	c      net.Conn
	values bool
	page   []byte
}

// walk asks for all pages and returns how many keys they have.
func (w *walker) walk(firstPage func()) (keys int, err error) {
	if w.page == nil {
		w.page = make([]byte, 4<<20)
	}
	for cursor := ""; ; {
		if _, err := fmt.Fprintf(w.c, `{"KEYS":{"limit":100000,"values":%t%s}}`+"\n", w.values, cursor); err != nil {
			return 0, err
		}
		n := 0
		for n == 0 || w.page[n-1] != '\n' {
			m, err := w.c.Read(w.page[n:])
			if err != nil {
				return 0, err
			}
			n += m
		}
		firstPage()
		page := w.page[:n]
		// Neither keys nor values have a quote in them.
		quotes, perKey := bytes.Count(page, []byte(`"`))-6, 2
		if w.values {
			perKey = 4
		}
		at := bytes.LastIndex(page[max(0, n-64):], []byte(`,"cursor":`))
		if at < 0 {
			return keys + quotes/perKey, nil
		}
		keys += (quotes - 4) / perKey
		cursor = string(bytes.TrimSuffix(page[max(0, n-64)+at:], []byte("}}\n")))
	}
}

// walkForEver is the process that walks until its input ends.
func walkForEver() error {
	c, err := net.Dial("tcp", os.Getenv(addrEnv))
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() {
		w, first := walker{c: c, values: os.Getenv(modeEnv) == "values"}, true
		for {
			if _, err := w.walk(func() {
				if first {
					first = false
					fmt.Println("rises")
				}
			}); err != nil {
				failed <- err
				return
			}
		}
	}()
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		ended <- err
	}()
	select {
	case err = <-failed:
	case err = <-ended:
	}
	return errors.Join(err, c.Close())
}

// startFilled starts a server with so many keys.
func startFilled(b *testing.B, n int) *process {
	p := startTLSServer(b, "serve keyframe")
	c, err := p.dial(false)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	keys := NewKeys(n)
	w := bufio.NewWriterSize(c, 1<<20)
	for i := 0; i < n; {
		_, _ = w.WriteString(`{"SETQ":{`) // the last one has the error, if there is one
		for j := range min(100, n-i) {
			if j > 0 {
				_ = w.WriteByte(',')
			}
			fmt.Fprintf(w, `"%s":"value:%014d"`, keys.At(i), i)
			i++
		}
		_, _ = w.WriteString("}}\n")
	}
	_, _ = w.WriteString("{\"COUNT\":{}}\n")
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if got, err := bufio.NewReader(c).ReadString('\n'); err != nil || got != fmt.Sprintf("{\"COUNT_RSP\":{\"st\":0,\"cnt\":%d}}\n", n) {
		b.Fatal(got, err)
	}
	return p
}

var walkModes = []string{"keys", "values"}

// BenchmarkServerScan has all pages of a store come, to each of four clients: with one the server
// and the client would wait for each other.
func BenchmarkServerScan(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		p := startFilled(b, n)
		for _, mode := range walkModes {
			b.Run("mode="+mode, func(b *testing.B) {
				var walkers [4]walker
				for i := range walkers {
					c, err := p.dial(false)
					if err != nil {
						b.Fatal(err)
					}
					defer c.Close()
					walkers[i] = walker{c: c, values: mode == "values"}
				}
				before := p.cpu()
				for b.Loop() {
					var all sync.WaitGroup
					for i := range walkers {
						all.Go(func() {
							if got, err := walkers[i].walk(func() {}); err != nil || got != n {
								b.Errorf("%d keys of %d, %v", got, n, err)
							}
						})
					}
					all.Wait()
				}
				all := float64(len(walkers) * n * b.N)
				b.ReportMetric(all/b.Elapsed().Seconds(), "keys/s")
				b.ReportMetric(float64((p.cpu()-before).Nanoseconds())/all, "server-CPU-ns/key")
			})
		}
	})
}

// BenchmarkServerBesideScan is the time of single SETs on one connection beside another that
// goes through the store again and again.
func BenchmarkServerBesideScan(b *testing.B) {
	sizes(b, func(b *testing.B, n int) {
		p := startFilled(b, n)
		for _, mode := range append([]string{"none"}, walkModes...) {
			b.Run("beside="+mode, func(b *testing.B) {
				c, err := p.dial(false)
				if err != nil {
					b.Fatal(err)
				}
				defer c.Close()
				if mode != "none" {
					startProcess(b, nil, "walk", addrEnv+"="+p.said[1], modeEnv+"="+mode)
				}
				ask := neighbour{b: b, c: c, r: bufio.NewReader(c)}
				command := append(appendSet(nil, []pair{{"key:000000000000", "value"}}), '\n')
				var took []time.Duration
				for b.Loop() {
					start := time.Now()
					ask.ask(command, `{"SET_RSP":{"st":`)
					took = append(took, time.Since(start))
				}
				reportTimes(b, took, "")
			})
		}
	})
}
