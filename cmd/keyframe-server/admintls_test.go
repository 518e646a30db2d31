package main_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyframe/netio/netiotest"
)

// scrape asks for the metrics at port of 127.0.0.1 with TLS, over a connection of its own, and
// returns the serial number of the certificate that it was shown.
func scrape(port, authorization string, config *tls.Config) (status int, serial string, err error) {
	transport := &http.Transport{TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodGet, "https://127.0.0.1:"+port+"/metrics", nil)
	if err != nil {
		return 0, "", err
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.TLS.PeerCertificates[0].SerialNumber.String(), err
}

// TestAdminCertificates: an --admin that other machines reach asks for a certificate, and on a
// server with users for one that is an admin's. It follows the files, and who is refused is logged.
func TestAdminCertificates(t *testing.T) {
	users, port := filepath.Join(t.TempDir(), "users.json"), freePort(t)
	for _, name := range []string{"root", "scraper"} {
		userCommand(t, "", "add", "--users", users, "--no-password", "--allow", "admin", name)
	}
	userCommand(t, "", "add", "--users", users, "--no-password", "--allow", "read,write,scan", "bob")
	ca, other := netiotest.NewCA(t), netiotest.NewCA(t)
	cert, key := ca.Server("server")
	p := start(t, "--listen", "127.0.0.1:0", "--admin", "tls://0.0.0.0:"+port, "--tls-cert", cert, "--tls-key", key,
		"--tls-client-ca", ca.File, "--users", users, "--log-format", "json")
	as := func(ca *netiotest.CA, name string) *tls.Config {
		own := ca.Client(name)
		return &tls.Config{RootCAs: ca.Pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &own, nil }}
	}
	stranger := as(other, "root")
	stranger.RootCAs = ca.Pool
	ask := func(who string, config *tls.Config, want int) (serial string) {
		t.Helper()
		status, serial, err := scrape(port, "", config)
		if status != want || (err != nil) != (want == 0) {
			t.Errorf("%s: %d, %v; want %d", who, status, err, want)
		}
		return serial
	}
	before := ask("an admin", as(ca, "root"), 200)
	ask("another admin", as(ca, "scraper"), 200)
	ask("a user", as(ca, "bob"), 403)
	ask("nobody's certificate", as(ca, "eve"), 403)
	ask("no certificate", &tls.Config{RootCAs: ca.Pool}, 0)
	ask("another CA's", stranger, 0)
	p.waitForLog(t, `"reason":"the certificate's name is \"bob\", want one of a user with the class admin"`, 1)
	for line := range strings.Lines(p.stderr.String()) {
		var entry struct{ Msg, Source, User, Command string }
		if json.Unmarshal([]byte(line), &entry); strings.Contains(line, "class admin") &&
			(entry.Msg != "refused" || !strings.HasPrefix(entry.Source, "127.0.0.1:") || entry.User != "bob" && entry.User != "eve" || entry.Command != "--admin") {
			t.Errorf("it is logged as %s", line)
		}
	}
	ca.Server("server")
	userCommand(t, "", "remove", "--users", users, "root")
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.waitForLog(t, "SIGHUP: read again", 1)
	ask("an admin who was removed", as(ca, "root"), 403)
	if after := ask("one who stays", as(ca, "scraper"), 200); after == before {
		t.Error("it shows the certificate of before")
	}
}

// TestAdminTLSToken: over TLS, too, nothing is answered without the token; plain requests are told
// what is spoken, and connections without end are not kept.
func TestAdminTLSToken(t *testing.T) {
	token, port := filepath.Join(t.TempDir(), "token"), freePort(t)
	const secret = "a secret of 24 characters"
	if err := os.WriteFile(token, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	ca := netiotest.NewCA(t)
	cert, key := ca.Server("server")
	start(t, "--listen", "127.0.0.1:0", "--admin", "tls://0.0.0.0:"+port, "--tls-cert", cert, "--tls-key", key, "--admin-token-file", token)
	config := &tls.Config{RootCAs: ca.Pool}
	for authorization, want := range map[string]int{"": 401, "Bearer " + secret + "x": 401, "Bearer " + secret: 200} {
		if status, _, err := scrape(port, authorization, config); status != want || err != nil {
			t.Errorf("%q: %d, %v", authorization, status, err)
		}
	}
	if status, body := get(t, "http://127.0.0.1:"+port+"/metrics"); status != 400 {
		t.Errorf("without TLS: %d %s", status, body)
	}
	const most = 256
	var conns []net.Conn
	for range most + 50 {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	_ = conns[most+49].SetReadDeadline(time.Now().Add(patience))
	if n, err := conns[most+49].Read(make([]byte, 1)); n > 0 || os.IsTimeout(err) {
		t.Errorf("one too many: %d, %v", n, err)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		status, _, err := scrape(port, "Bearer "+secret, config)
		if status == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after a flood: %d, %v", status, err)
		}
	}
}

// TestAdminTokenInTheClear: where a token could be read on its way, the log says so.
func TestAdminTokenInTheClear(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a secret of 24 characters"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0", "--admin-token-file", token)
	p.waitForLog(t, "passwords and tokens can be read on their way here", 1)
}
