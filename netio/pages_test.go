package netio_test

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"keyframe/netio"
)

// TestRefusedPages: whoever runs a server without users is told of the pages that it has
// turned away, a few a second, with where they came from and no more of their words than that
// takes.
func TestRefusedPages(t *testing.T) {
	log := &logs{}
	s := startServer(t, netio.Options{Logger: slog.New(slog.NewJSONHandler(log, nil))})
	ask := func(request, status string) {
		t.Helper()
		c := dialLines(t, "tcp", s.tcp)
		defer c.Close()
		c.sendRaw(request)
		if got := c.recv(); !strings.HasPrefix(got, "HTTP/1.1 "+status) {
			t.Fatalf("%.100q: %q", request, got)
		}
	}
	const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	host := "Host: " + s.tcp + "\r\n"
	ask("GET / HTTP/1.1\r\n"+host+upgrade+"Origin: https://socket.example\r\n\r\n", "403")
	ask("POST / HTTP/1.1\r\n"+host+"Origin: https://post.example\r\nContent-Length: 0\r\n\r\n", "403")
	ask("GET / HTTP/1.1\r\nHost: rebound.example\r\n\r\n", "403")
	for _, name := range []string{"socket", "post", "rebound"} {
		waitForText(t, log, name+".example")
	}
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, ".example") && (!strings.Contains(line, `"msg":"refused","source":"127.0.0.1:`) || !strings.Contains(line, `"level":"WARN"`)) {
			t.Error(line)
		}
	}
	ask("GET / HTTP/1.1\r\n"+host+"\r\n", "200")
	ask("GET / HTTP/1.1\r\n"+host+"Content-Length: x\r\n\r\n", "400")
	ask("POST / HTTP/1.1\r\n"+host+"Origin: https://long."+strings.Repeat("x", 10_000)+"\r\nContent-Length: 0\r\n\r\n", "403")
	waitForText(t, log, "long.")
	for i := 0; !strings.Contains(log.String(), `"unlogged":`); i++ { // the next second's first has it
		ask("POST / HTTP/1.1\r\n"+host+"Origin: https://flood"+strconv.Itoa(i)+"\r\nContent-Length: 0\r\n\r\n", "403")
	}
	if n := strings.Count(log.String(), `"msg":"refused"`); len(log.String()) > 600*n {
		t.Errorf("%d refusals, %d bytes", n, len(log.String()))
	}
}
