package bench

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A flood is connections that send the same without end and read what is answered, as
// fast as the server lets them. They are a process of their own, so that the client whose
// time is measured waits for the server and not for them.

// floodKind is what a flood sends.
type floodKind struct {
	name      string
	webSocket bool
	prepare   func() []byte           // commands of one answer each, sent once before
	input     func(number int) []byte // of one of its connections, again and again
}

// maxFrame is the longest command of a server on its defaults.
const maxFrame = 16 << 20

// longKey is a key of the greatest length that a server takes, and how to write it as
// long as can be.
var (
	longKey    = strings.Repeat("a", 65_535)
	escapedKey = strings.Repeat(`\u0061`, 65_535)
)

var floodKinds = []floodKind{
	{name: "set-1000", input: func(number int) (commands []byte) {
		for i := range 20 {
			pairs := make([]pair, 1000)
			for k := range pairs {
				pairs[k] = pair{fmt.Sprintf("key:%012d", (number*20+i)*1000+k), fmt.Sprintf("value:%014d", k)}
			}
			commands = append(appendSet(commands, pairs), '\n')
		}
		return commands
	}},
	{name: "get-1-mib",
		prepare: func() []byte {
			return append(appendSet(nil, []pair{{"flood:mebibyte", strings.Repeat("v", 1<<20)}}), '\n')
		},
		input: again(`{"GET":["flood:mebibyte"]}` + "\n")},
	{name: "malformed", input: again("x\n")},
	// A value of no type that is stored: it is checked and refused, not copied.
	{name: "nested", input: asLongAsCanBe(`{"SET":{"flood:nested":[[]`, `,[]`, `]}}`)},
	// Each answer takes a quarter of a mebibyte, so that the command takes many turns.
	{name: "escaped",
		prepare: func() []byte { return append(appendSet(nil, []pair{{longKey, strings.Repeat("v", 256<<10)}}), '\n') },
		input:   asLongAsCanBe(`{"GET":["flood:first"`, `,"`+escapedKey+`"`, `]}`)},
	{name: "fault-at-end", input: asLongAsCanBe(`{"SETQ":{"flood:first":1`, `,"flood:refused":"value:00000000000001"`, `]}`)},
	{name: "spaces", input: asLongAsCanBe(``, ` `, `{"GET":["flood:missing"]}`)},
	{name: "blank-lines", input: again("\n")},
	{name: "ping", webSocket: true, input: again("\x89\x80\x01\x02\x03\x04")},
	{name: "fragments", webSocket: true, input: func(int) []byte {
		return bytes.Join([][]byte{maskedFrame(0x01, "{"), bytes.Repeat(maskedFrame(0x00, " "), 50_000), maskedFrame(0x80, "}")}, nil)
	}},
	{name: "server-info", input: again(`{"SERVER_INFO":{}}` + "\n")},
	{name: "clear", input: again(`{"CLEAR":{}}` + "\n")},
	{name: "count", input: again(`{"COUNT":{}}` + "\n")},
}

// again is an input of short commands.
func again(command string) func(int) []byte {
	return func(int) []byte { return bytes.Repeat([]byte(command), 1+(64<<10)/len(command)) }
}

// asLongAsCanBe is an input of one line as long as a command may be.
func asLongAsCanBe(head, element, tail string) func(int) []byte {
	return func(int) []byte {
		b := append(make([]byte, 0, maxFrame+1), head...)
		for len(b)+len(element)+len(tail) <= maxFrame {
			b = append(b, element...)
		}
		return append(append(b, tail...), '\n')
	}
}

// maskedFrame is a short frame of a client, with a key of zeros.
func maskedFrame(first byte, payload string) []byte {
	return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

func findFlood(name string) *floodKind {
	for i := range floodKinds {
		if floodKinds[i].name == name {
			return &floodKinds[i]
		}
	}
	return nil
}

// What this binary is asked for when it runs as a flood.
var (
	floodName  = flag.String("flood", "", "be a flood of this kind until the standard input ends; for the benchmark itself")
	floodConns = flag.Int("flood-conns", 1, "its connections")
)

// TestFlood is the process of a flood.
func TestFlood(t *testing.T) {
	if *floodName == "" {
		t.Skip("only as a process of BenchmarkServerBesideFlood")
	}
	kind := findFlood(*floodName)
	if kind == nil {
		t.Fatalf("no flood is called %q", *floodName)
	}
	failed := make(chan error, 2**floodConns)
	var shared []byte
	for i := range *floodConns {
		c, err := dialFlood(kind)
		if err != nil {
			t.Fatal(err)
		}
		input := shared
		if input == nil || len(input) < maxFrame/2 { // the long ones are all the same
			input = kind.input(i)
			shared = input
		}
		go func() { failed <- send(c, input) }()
		go func() {
			_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 256<<10))
			failed <- errors.Join(errors.New("the server has closed the connection"), err)
		}()
	}
	fmt.Println("flooding")
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		failed <- err
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

// send sends input for ever, a piece at a time so that a connection's turn at this end is
// short, too.
func send(c net.Conn, input []byte) error {
	for {
		for rest := input; len(rest) > 0; {
			n, err := c.Write(rest[:min(len(rest), 64<<10)])
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
	}
}

func dialFlood(kind *floodKind) (net.Conn, error) {
	c, err := dial(*serverAddr)
	if err != nil || !kind.webSocket {
		return c, err
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(c, 16)
	for line := "-"; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// startFlood floods the server at addr until the benchmark ends.
func startFlood(b *testing.B, addr string, kind *floodKind, conns int) {
	b.Helper()
	if kind.prepare != nil {
		c, err := dial(addr)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(kind.prepare()); err != nil {
			b.Fatal(err)
		}
		if answer, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(answer, `{"SET_RSP":{"st":`) {
			b.Fatalf("%.100q, %v", answer, err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^TestFlood$", "-test.cpu=1", "-flood="+kind.name, fmt.Sprintf("-flood-conns=%d", conns), "-addr="+addr)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	said := bufio.NewReader(stdout)
	line, err := said.ReadString('\n')
	b.Cleanup(func() {
		_ = stdin.Close()
		rest, _ := io.ReadAll(said)
		if err := cmd.Wait(); err != nil {
			b.Errorf("the flood: %v: %s%s", err, line, rest)
		}
	})
	if err != nil || line != "flooding\n" {
		b.Fatalf("the flood did not begin: %q, %v", line, err)
	}
}
