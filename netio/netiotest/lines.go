package netiotest

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"testing"
)

// Lines listens until the test ends and calls answer for each line that a connection
// sends, which is its n-th from 0 on. It closes the connection when answer says false.
// Connections are answered at once, each in order: a server that does what it likes.
func Lines(tb testing.TB, answer func(c net.Conn, n int, line []byte) bool) (addr string) {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = ln.Close() })
	go AnswerLines(ln, answer)
	return ln.Addr().String()
}

// AnswerLines is Lines on a listener, until that is closed.
func AnswerLines(ln net.Listener, answer func(c net.Conn, n int, line []byte) bool) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			r := bufio.NewReader(c)
			for n := 0; ; n++ {
				line, err := r.ReadBytes('\n')
				if err != nil || !answer(c, n, line) {
					return
				}
			}
		}()
	}
}

// Stored is the right answer to a SET of one key.
func Stored(line []byte) []byte {
	key, _, _ := bytes.Cut(bytes.TrimPrefix(line, []byte(`{"SET":{"`)), []byte(`"`))
	return fmt.Appendf(nil, `{"SET_RSP":{"st":1,"k":"%s"}}`+"\n", key)
}
