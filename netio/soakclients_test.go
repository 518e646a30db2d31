package netio_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// This file has the soak's good clients of Redis's protocol and of HTTP.

// goodRESP is a client of Redis's protocol with keys of its own and a model of them.
func (k *soak) goodRESP(number int, rng *rand.Rand) error {
	before := k.turnedAway()
	c, err := net.Dial("tcp", k.s.tcp)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(soakPatience))
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
	transport := &http.Transport{MaxConnsPerHost: 1}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), soakPatience)
	defer cancel()
	do := func(method, key, body string) (status int, text string, err error) {
		r, err := http.NewRequestWithContext(ctx, method, "http://"+k.s.tcp+"/kv/"+key, strings.NewReader(body))
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
