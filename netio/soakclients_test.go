package netio_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// This file has the soak's good clients of Redis's protocol and of HTTP, and what it does with TLS.

// dial returns a connection for lines or Redis's protocol: of three clients one has TCP, one a
// unix socket and one TLS.
func (k *soak) dial(number int) (c net.Conn, err error) {
	switch number % 3 {
	case 0:
		c, err = net.Dial("tcp", k.s.tcp)
	case 1:
		c, err = net.Dial("unix", k.s.unix)
	default:
		if c, err = net.Dial("tcp", k.s.tls); err == nil {
			c = tls.Client(c, k.config(number))
		}
	}
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(soakPatience))
	}
	return c, err
}

// url is where a client of HTTP or WebSocket connects to, and transport what connects it.
func (k *soak) url(number int) string {
	if number%3 == 2 {
		return "https://" + k.s.tls
	}
	return "http://" + k.s.tcp
}

func (k *soak) transport(number int) *http.Transport {
	return &http.Transport{MaxConnsPerHost: 1, TLSClientConfig: k.config(number + int(k.answers.Load()))}
}

// config is of TLS 1.2, of 1.3, or of 1.3 with the sessions of before.
func (k *soak) config(number int) *tls.Config {
	config := &tls.Config{RootCAs: k.ca.Pool, ServerName: "localhost"}
	switch number % 3 {
	case 0:
		config.MaxVersion = tls.VersionTLS12
	case 1:
		config.ClientSessionCache = k.tickets
	}
	return config
}

// replaceCertificates has the server show another certificate.
func (k *soak) replaceCertificates(*rand.Rand) error {
	k.ca.Server("server")
	if _, err := k.s.ReloadCertificates(); err != nil {
		return err
	}
	select {
	case <-k.ctx.Done():
	case <-time.After(time.Second): // its pace
	}
	return nil
}

// falseTLS is garbage that looks like TLS, from the first byte on or after a handshake, or a
// connection of TLS that is cut off.
func falseTLS(c net.Conn, rng *rand.Rand) {
	record := make([]byte, 5+rng.IntN(2000))
	for i := range record {
		record[i] = byte(rng.IntN(256))
	}
	copy(record, []byte{byte(20 + rng.IntN(4)), 3, byte(rng.IntN(5)), byte(rng.IntN(8))})
	if how := rng.IntN(3); how > 0 {
		secure := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		_, _ = io.WriteString(secure, fence+"\n")
		_, _ = secure.Read(make([]byte, 100))
		if how == 1 {
			record = nil // a FIN without close_notify
		}
	}
	_, _ = c.Write(record)
	closeWrite(c)
	_, _ = io.Copy(io.Discard, c)
}

func closeWrite(c net.Conn) { _ = c.(interface{ CloseWrite() error }).CloseWrite() }

// abort has the next Close reset the connection.
func abort(c net.Conn) {
	if secure, is := c.(*tls.Conn); is {
		c = secure.NetConn()
	}
	_ = c.(*net.TCPConn).SetLinger(0)
}

// goodRESP is a client of Redis's protocol with keys of its own and a model of them.
func (k *soak) goodRESP(number int, rng *rand.Rand) error {
	before := k.turnedAway()
	c, err := k.dial(number)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReader(c)
	prefix := fmt.Sprintf("good_resp_%d_", number)
	words := []string{"DEL"}
	for _, n := range keyNumbers() {
		words = append(words, prefix+n)
	}
	if _, err = io.WriteString(c, respCommand(words...)); err == nil {
		var got string
		if got, err = readReply(r); err == nil && !strings.HasPrefix(got, ":") {
			err = fmt.Errorf("got %.200q", got)
		}
	}
	if err != nil {
		if k.turnedAway() > before {
			return nil
		}
		return err
	}
	model := make(map[string]string)
	for range 1 + rng.IntN(100) {
		if k.ctx.Err() != nil {
			return nil
		}
		var commands strings.Builder
		var want []string
		for range 1 + rng.IntN(40) {
			command, reply := randomWords(prefix, model, rng)
			commands.WriteString(respCommand(command...))
			want = append(want, reply)
		}
		if _, err := io.WriteString(c, commands.String()); err != nil {
			return err
		}
		for i, w := range want {
			got, err := readReply(r)
			if err != nil || got != w {
				return fmt.Errorf("reply %d: got %.200q, %v, want %.200q", i, got, err, w)
			}
			k.answers.Add(1)
		}
	}
	return nil
}

// randomWords is a command about the model's keys, and the reply to it as readReply has it.
func randomWords(prefix string, model map[string]string, rng *rand.Rand) (command []string, reply string) {
	key := func() string { return fmt.Sprintf("%s%02d", prefix, rng.IntN(goodKeys)) }
	bulk := func(key string) string {
		if value, exists := model[key]; exists {
			return "$" + value
		}
		return "$-1"
	}
	count := func(keys []string, remove bool) string {
		n := 0
		for _, key := range keys {
			if _, exists := model[key]; exists {
				n++
			}
			if remove {
				delete(model, key)
			}
		}
		return ":" + strconv.Itoa(n)
	}
	var keys []string
	for range 1 + rng.IntN(20) {
		keys = append(keys, key())
	}
	switch name := []string{"SET", "SET", "MSET", "GET", "MGET", "DEL", "EXISTS", "APPEND", "STRLEN"}[rng.IntN(9)]; name {
	case "SET", "MSET":
		if name == "SET" {
			keys = keys[:1]
		}
		command = []string{name}
		for _, key := range keys {
			model[key] = strings.Repeat("\x00\xff\r\n\"", rng.IntN(1<<rng.IntN(9)))
			command = append(command, key, model[key])
		}
		return command, "+OK"
	case "GET":
		return []string{name, keys[0]}, bulk(keys[0])
	case "MGET":
		reply = "*" + strconv.Itoa(len(keys))
		for _, key := range keys {
			reply += " " + bulk(key)
		}
		return append([]string{name}, keys...), reply
	case "APPEND":
		model[keys[0]] += "more"
		return []string{name, keys[0], "more"}, ":" + strconv.Itoa(len(model[keys[0]]))
	case "STRLEN":
		return []string{name, keys[0]}, ":" + strconv.Itoa(len(model[keys[0]]))
	default:
		return append([]string{name}, keys...), count(keys, name == "DEL")
	}
}

func respCommand(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	return b.String()
}

// readReply reads a reply of RESP2: a bulk string as its bytes after a $, an array's elements
// after its length.
func readReply(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimSuffix(line, "\r\n")
	n, err := strconv.Atoi(line[1:])
	switch {
	case line[0] == '$' && err == nil && n >= 0:
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return "", err
		}
		return "$" + string(b[:n]), nil
	case line[0] == '*' && err == nil:
		for range n {
			element, err := readReply(r)
			if err != nil {
				return "", err
			}
			line += " " + element
		}
	}
	return line, nil
}

// goodHTTP is a client of HTTP with keys of its own and a model of them, over a connection
// that is kept.
func (k *soak) goodHTTP(number int, rng *rand.Rand) error {
	before := k.turnedAway()
	transport := k.transport(number)
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), soakPatience)
	defer cancel()
	do := func(method, key, body string) (status int, text string, err error) {
		r, err := http.NewRequestWithContext(ctx, method, k.url(number)+"/kv/"+key, strings.NewReader(body))
		if err != nil {
			return 0, "", err
		}
		resp, err := transport.RoundTrip(r)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), err
	}
	model := make(map[string]string)
	for i := range 50 + rng.IntN(1000) {
		if i >= 50 && k.ctx.Err() != nil {
			return nil
		}
		// The first ones remove what an earlier connection has left.
		method, key := http.MethodDelete, fmt.Sprintf("good_http_%d_%02d", number, i%goodKeys)
		if i >= 50 {
			method, key = []string{"GET", "PUT", "DELETE"}[rng.IntN(3)], fmt.Sprintf("good_http_%d_%02d", number, rng.IntN(goodKeys))
		}
		old, exists := model[key]
		body, status, text := "", http.StatusNotFound, "there is no such key\n"
		switch {
		case method == "PUT" && exists:
			status, text = http.StatusNoContent, ""
		case method == "PUT":
			status, text = http.StatusCreated, ""
		case method == "GET" && exists:
			status, text = http.StatusOK, old
		case exists:
			status, text = http.StatusNoContent, ""
		}
		if method == "PUT" {
			body = `"` + strings.Repeat("v", rng.IntN(1<<rng.IntN(14))) + `"`
			model[key] = body
		} else if method == "DELETE" {
			delete(model, key)
		}
		gotStatus, gotText, err := do(method, key, body)
		if i < 50 {
			if k.turnedAway() > before {
				return nil
			}
			if gotStatus == http.StatusNoContent {
				status, text = http.StatusNoContent, ""
			}
		}
		if err != nil || gotStatus != status || gotText != text {
			return fmt.Errorf("%s %s: %d %.100q, %v, want %d %.100q", method, key, gotStatus, gotText, err, status, text)
		}
		k.answers.Add(1)
	}
	return nil
}
