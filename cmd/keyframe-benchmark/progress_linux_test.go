package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keyframe/netio/netiotest"
)

// terminal is a pseudo-terminal of some columns, and what has been written to it.
type terminal struct {
	keys *os.File // what is typed
	tty  *os.File
	text chan string // all of it, when the tty has been closed
}

func newTerminal(t *testing.T, columns uint16) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})
	}
	if err == nil {
		// A ^C discards what has not been read yet. The kernel may come to it when the result
		// has been written already, since the signal is sent by hand.
		var mode *unix.Termios
		if mode, err = unix.IoctlGetTermios(int(master.Fd()), unix.TCGETS); err == nil {
			mode.Lflag |= unix.NOFLSH
			err = unix.IoctlSetTermios(int(master.Fd()), unix.TCSETS, mode)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	term := &terminal{keys: master, text: make(chan string, 1)}
	if term.tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	go func() {
		all, _ := io.ReadAll(master) // it ends with an error when the other side is closed
		term.text <- string(all)
	}()
	return term
}

// screen is what people see of text: its rows, and how many there ever were.
func screen(text string, columns int) (rows []string) {
	row, at := []rune{}, 0
	for rest := []rune(text); len(rest) > 0; rest = rest[1:] {
		switch c := rest[0]; {
		case strings.HasPrefix(string(rest[:min(4, len(rest))]), "\x1b[2K"):
			row = row[:0]
			for range at {
				row = append(row, ' ')
			}
			rest = rest[3:]
		case c == '\r':
			at = 0
		case c == '\n':
			rows, row = append(rows, string(row)), nil
		default:
			if at == columns {
				rows, row, at = append(rows, string(row)), nil, 0
			}
			for len(row) <= at {
				row = append(row, ' ')
			}
			row[at] = c
			at++
		}
	}
	return append(rows, string(row))
}

// TestProgress: on a terminal of any width the progress keeps to one row, and ^C leaves
// nothing of it beside the result.
func TestProgress(t *testing.T) {
	for _, columns := range []int{200, 80, 50, 30, 12, 5} {
		term := newTerminal(t, uint16(columns))
		interrupt := time.Now().Add(250 * time.Millisecond)
		sent := false
		addr := netiotest.Lines(t, func(c net.Conn, n int, line []byte) bool {
			if !sent && time.Now().After(interrupt) {
				sent = true
				// The terminal echoes it after the bar. It is not this process's, so the signal
				// is not its work.
				if _, err := term.keys.Write([]byte{3}); err != nil {
					t.Error(err)
				}
				if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
					t.Error(err)
				}
			}
			return stores(c, line)
		})
		status := run([]string{"-a", addr, "-c", "1", "-D", "500ms", "-w", "0", "--interval", "20ms"}, term.tty, term.tty)
		_ = term.tty.Close()
		text := <-term.text
		if status != exitInterrupted {
			t.Errorf("%d columns: status %d", columns, status)
		}
		if drawn := strings.Count(text, "% |") >= 3; drawn != (columns >= aroundBar) {
			t.Errorf("%d columns: drawn: %v\n%q", columns, drawn, text)
		}
		bar, result, ok := strings.Cut(text, addr+", lines")
		if !ok || !strings.Contains(result, "interrupted") {
			t.Fatalf("%d columns: no result: %q", columns, text)
		}
		// The result begins where the progress began: it has taken no row, and left nothing.
		if rows := screen(bar, columns); len(rows) != 1 || strings.TrimSpace(rows[0]) != "" || !strings.HasSuffix(bar, "\r") && bar != "" {
			t.Errorf("%d columns: before the result there is %q", columns, rows)
		}
	}
}
