package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"keyframe/netio"
	"keyframe/netio/netiotest"
)

// TestTLS: a run over TLS is one as any other, with every framing and with values of more
// than a record.
func TestTLS(t *testing.T) {
	ca := netiotest.NewCA(t)
	cert, key := ca.Server("server")
	srv, _ := netiotest.Start(t, netio.Options{Listen: []string{"tls://127.0.0.1:0"}, TLSCert: cert, TLSKey: key, TLSClientCA: ca.File})
	addr := srv.Addrs()[0].String()
	mine, mineKey := ca.ClientFiles("me")
	show := []string{"--tls-cert", mine, "--tls-key", mineKey}
	for _, args := range [][]string{
		{"--tls-ca", ca.File},
		{"--tls-ca", ca.File, "--websocket"},
		{"--tls-ca", ca.File, "--resp"},
		{"--tls-insecure", "-d", "50000", "-m", "set=50,get=50", "--fill", "-r", "100"},
	} {
		var out, errs bytes.Buffer
		arguments := append(append([]string{"-a", addr, "--tls", "-c", "4", "-P", "3", "-k", "2", "-r", "1000", "-n", "500", "-w", "0", "--verify", "-f", "json"}, show...), args...)
		if status := run(arguments, &out, &errs); status != exitOK || !strings.Contains(out.String(), `"verified": `) {
			t.Errorf("%v: status %d\n%s%s", args, status, out.String(), errs.String())
		}
	}
	other := netiotest.NewCA(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{append([]string{"--tls", "--tls-ca", other.File}, show...), "unknown authority"},
		{[]string{"--tls", "--tls-ca", ca.File}, "certificate required"},
		{nil, "this address speaks TLS"},
	} {
		var errs bytes.Buffer
		if status := run(append([]string{"-a", addr, "-n", "1", "-w", "0"}, tt.args...), io.Discard, &errs); status != exitFailure || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%v: status %d, %s", tt.args, status, errs.String())
		}
	}
	for _, args := range [][]string{{"--tls-ca", ca.File}, {"--tls", "--tls-ca", "none.pem"}, {"--tls", "--tls-cert", mine}} {
		if _, err := parseFlags(args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
