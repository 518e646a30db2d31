package netio_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// This file has clients of TLS that are not Go's. Each test skips where its client is not
// installed.

// program returns a program's path, or skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is missing: install it", name)
	}
	return path
}

// sClient is an openssl s_client that is connected to a server. What is written to it is
// sent, except a line that begins with R, k or K: that has it renegotiate or change its keys.
type sClient struct {
	*lineClient
	cmd  *exec.Cmd
	errs safeBuffer
}

// safeBuffer is what a program says, which may be read while it goes on.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// pipes are a program's standard input and output as a connection.
type pipes struct {
	net.Conn // only what is below is called
	out      io.Reader
	in       io.WriteCloser
}

func (p pipes) Read(b []byte) (int, error)  { return p.out.Read(b) }
func (p pipes) Write(b []byte) (int, error) { return p.in.Write(b) }
func (p pipes) Close() error                { return p.in.Close() }

func (s *tlsServer) sClient(t *testing.T, args ...string) *sClient {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c := &sClient{cmd: exec.CommandContext(ctx, program(t, "openssl"), append([]string{"s_client", "-connect", s.tcp, "-CAfile", s.ca.File, "-verify_return_error", "-quiet", "-no_ign_eof"}, args...)...)}
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stderr = &c.errs
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.cmd.Wait()
	})
	c.lineClient = &lineClient{t, pipes{out: out, in: in}, bufio.NewReader(out)}
	return c
}

// TestOpenSSL talks to a server through openssl s_client, in both versions and each suite.
func TestOpenSSL(t *testing.T) {
	s := startTLS(t, netio.Options{})
	for _, args := range [][]string{
		{"-tls1_3"},
		{"-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"},
		{"-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"},
		{"-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"},
		{"-tls1_2"},
		{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"},
		{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"},
		{"-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"},
		{"-tls1_3", "-alpn", "http/1.1"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			c := s.sClient(t, args...)
			value := strings.Repeat("v", 100_000)
			c.sendRaw(`{"SETQ":{"long-one":"` + value + `"}}` + "\n" + `{"GET":["long-one"]}` + "\n")
			if got := c.recv(); got != `{"GET_RSP":{"st":0,"long-one":"`+value+`"}}` {
				t.Errorf("%.200s\n%s", got, c.errs.String())
			}
			_ = c.Close() // it says close_notify, and waits for ours
			if err := c.cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, c.errs.String())
			}
		})
	}
	for _, args := range [][]string{
		{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA@SECLEVEL=0"},
		{"-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"},
		{"-tls1_3", "-alpn", "h2"},
	} {
		t.Run("not "+strings.Join(args, " "), func(t *testing.T) {
			c := s.sClient(t, args...)
			if rest := c.wantRest(); rest != "" {
				t.Errorf("%q", rest)
			}
			if err := c.cmd.Wait(); err == nil {
				t.Errorf("it is let in\n%s", c.errs.String())
			}
		})
	}
}

// TestRenegotiation: a client that wants to shake hands once more is refused. One that
// changes its keys, as 1.3 has it, and wants ours changed, is served on.
func TestRenegotiation(t *testing.T) {
	s := startTLS(t, netio.Options{})
	c := s.sClient(t, "-tls1_2")
	converse(t, c, []exchange{{fence, []string{`{"CONTAINS_RSP":{"st":3,"k":"fence!"}}`}}})
	c.sendRaw("R\n")
	if rest := c.wantRest(); rest != "" {
		t.Errorf("it shakes hands again, and then: %q", rest)
	}
	if err := c.cmd.Wait(); err == nil {
		t.Errorf("it shakes hands again\n%s", c.errs.String())
	}
	s.failures(t, netio.TLSRecord, 1)

	c = s.sClient(t, "-tls1_3")
	for i, letter := range []string{"k", "K", "K"} {
		c.sendRaw(letter + "\n")
		waitFor(t, "other keys", func() bool { return strings.Count(c.errs.String(), "KEYUPDATE") == i+1 }) // it drops what it reads with the letter
		converse(t, c, []exchange{{fence, []string{`{"CONTAINS_RSP":{"st":3,"k":"fence!"}}`}}})
	}
	s.failures(t, netio.TLSRecord, 1)
}

// TestCurl: a page that curl asks for comes over TLS as it does without.
func TestCurl(t *testing.T) {
	curl := program(t, "curl")
	s := startTLS(t, netio.Options{})
	for _, version := range []string{"1.2", "1.3"} {
		out, err := exec.Command(curl, "-sS", "-i", "--max-time", "20", "--cacert", s.ca.File, "--tlsv"+version, "--tls-max", version, "https://"+s.tcp+"/").CombinedOutput()
		if err != nil || !bytes.HasPrefix(out, []byte("HTTP/1.1 200 ")) || !bytes.Contains(out, []byte("This is Keyframe")) {
			t.Errorf("%s: %v\n%s", version, err, out)
		}
	}
	out, err := exec.Command(curl, "-sS", "--max-time", "20", "https://"+s.tcp+"/").CombinedOutput()
	if err == nil {
		t.Errorf("without the root: %s", out)
	}
	out, err = exec.Command(curl, "-sS", "-i", "--max-time", "20", "http://"+s.tcp+"/").CombinedOutput()
	if err != nil || !bytes.HasPrefix(out, []byte("HTTP/1.1 400 ")) || !bytes.Contains(out, []byte("speaks TLS")) {
		t.Errorf("without TLS: %v\n%s", err, out)
	}
}

// TestNodeTLS has npm's ws verify the certificate, show one of its own, or refuse.
func TestNodeTLS(t *testing.T) {
	node := node(t)
	s := startTLS(t, netio.Options{})
	type attempt struct {
		Send string `json:"send"`
	}
	text, err := json.Marshal([]attempt{{`{"COUNT":{}}`}})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(env ...string) string {
		cmd := exec.Command(node, "testdata/node/upgrades.mjs", "wss://"+s.tcp+"/", string(text))
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if got := ask("NODE_EXTRA_CA_CERTS=" + s.ca.File); !strings.Contains(got, `"answer":"{\"COUNT_RSP\":{\"st\":0,\"cnt\":0}}"`) || !strings.Contains(got, `"code":1000`) {
		t.Error(got)
	}
	if got := ask("NODE_EXTRA_CA_CERTS="); strings.Contains(got, `"opened":true`) || !strings.Contains(got, "certificate") {
		t.Errorf("without the root: %s", got)
	}
}

// TestTestSSL has testssl.sh look for weak protocols and for what is known to break TLS. That takes
// it a minute or two: -soak.
func TestTestSSL(t *testing.T) {
	if *soakFlag == 0 {
		t.Skip("takes minutes: -soak")
	}
	path, err := exec.LookPath("testssl")
	if err != nil {
		path = program(t, "testssl.sh")
	}
	ca := netiotest.NewCA(t)
	var opts netio.Options
	// The certificate is the test's, so what is found about it is not the server's.
	opts.TLSCert, opts.TLSKey = ca.Server("server", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().AddDate(0, 6, 0)
		c.CRLDistributionPoints = []string{"http://127.0.0.1/none.crl"}
	})
	s := startTLS(t, opts)
	report := filepath.Join(t.TempDir(), "report.json")
	ctx, cancel := context.WithTimeout(context.Background(), 10*patience)
	defer cancel()
	args := []string{"--protocols", "--server-defaults", "--standard", "--fs", "--server-preference", "--headers", "--vulnerable", "--quiet", "--nodns", "none", "--warnings", "off", "--color", "0", "--add-ca", ca.File, "--jsonfile", report, s.tcp}
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	text, readErr := os.ReadFile(report)
	var findings []struct{ ID, Severity, Finding string }
	if readErr == nil {
		readErr = json.Unmarshal(text, &findings)
	}
	if readErr != nil {
		t.Fatalf("%v, %v\n%s", err, readErr, out)
	}
	seen := make(map[string]string)
	for _, f := range findings {
		if seen[f.ID] = f.Severity; f.Finding == "not offered" {
			seen[f.ID] = "OK"
		}
		if slices.Contains([]string{"MEDIUM", "HIGH", "CRITICAL", "FATAL"}, f.Severity) {
			t.Errorf("%s: %s: %s", f.Severity, f.ID, f.Finding)
		}
	}
	for _, id := range []string{"SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3", "cert_chain_of_trust", "cert_trust",
		"heartbleed", "CCS", "ticketbleed", "secure_renego", "secure_client_renego", "CRIME_TLS", "BREACH", "POODLE_SSL", "SWEET32", "FREAK", "DROWN",
		"LOGJAM", "BEAST", "LUCKY13", "RC4", "cipherlist_NULL", "cipherlist_aNULL", "cipherlist_EXPORT", "cipherlist_3DES_IDEA"} {
		if seen[id] != "OK" {
			t.Errorf("%s: %q", id, seen[id])
		}
	}
	if t.Failed() {
		t.Logf("%s\n%s", out, text)
	}
}
