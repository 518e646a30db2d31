package http1

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// This file is the parser's oracle: the same rules, written for reading instead of speed.

const (
	token   = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	visible = `[^\x00-\x20\x7f]+`
)

var (
	simpleFirst    = regexp.MustCompile(`^(` + token + `) (` + visible + `) HTTP/1\.([01])$`)
	simpleHeader   = regexp.MustCompile(`^(` + token + `):[ \t]*((?s:.*?))[ \t]*$`)
	simpleControl  = regexp.MustCompile(`[\x00-\x08\x0a-\x1f\x7f]`)
	simpleURL      = regexp.MustCompile(`^(?i:https?)://([^/?#]*)((?s:.*))$`)
	simpleLength   = regexp.MustCompile(`^[0-9]{1,18}$`)
	simpleNoHost   = regexp.MustCompile(`[ \t/\\?#@,]`)
	simpleChunked  = regexp.MustCompile(`^[Cc][Hh][Uu][Nn][Kk][Ee][Dd]$`)
	simpleContinue = regexp.MustCompile(`^100-[Cc][Oo][Nn][Tt][Ii][Nn][Uu][Ee]$`)
)

// simpleOnce are the headers that there may be one of.
var simpleOnce = strings.Fields("host upgrade sec-websocket-key sec-websocket-version content-length origin transfer-encoding authorization content-type if-match if-none-match expect")

// lower is strings.ToLower for ASCII only.
func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r |= 0x20
		}
		return r
	}, s)
}

// simpleHead reads a whole head, and shows it as showHead does; ok is false if it is refused.
func simpleHead(text string) (shown string, ok bool) {
	lines := strings.Split(strings.TrimSuffix(text, "\r\n\r\n"), "\r\n")
	for _, line := range lines {
		if simpleControl.MatchString(line) {
			return "", false
		}
	}
	first := simpleFirst.FindStringSubmatch(lines[0])
	if first == nil {
		return "", false
	}
	method, target, minor := first[1], first[2], first[3]
	headers := map[string][]string{}
	for _, line := range lines[1:] {
		h := simpleHeader.FindStringSubmatch(line)
		if h == nil {
			return "", false
		}
		headers[lower(h[1])] = append(headers[lower(h[1])], h[2])
	}
	one := map[string]string{}
	for _, name := range simpleOnce {
		switch values := headers[name]; {
		case len(values) > 1:
			return "", false
		case len(values) == 1:
			one[name] = values[0]
		}
	}
	host, hasHost := one["host"]
	length, hasLength := one["content-length"]
	encoding, isChunked := one["transfer-encoding"]
	expect, expects := one["expect"]
	switch {
	case !hasHost && minor == "1", simpleNoHost.MatchString(host),
		hasLength && !simpleLength.MatchString(length), hasLength && isChunked,
		isChunked && (minor == "0" || !simpleChunked.MatchString(encoding)),
		expects && !simpleContinue.MatchString(expect), strings.Contains(target, "#"):
		return "", false
	}
	if url := simpleURL.FindStringSubmatch(target); url != nil {
		if url[1] == "" || strings.Contains(url[1], "@") || hasHost && !strings.EqualFold(url[1], host) {
			return "", false
		}
		if !hasHost {
			host = url[1]
		}
		if target = url[2]; !strings.HasPrefix(target, "/") {
			target = "/" + target
		}
	} else if target[0] != '/' && (target != "*" || method != "OPTIONS") {
		return "", false
	}
	path, query, _ := strings.Cut(target, "?")
	options := map[string]bool{}
	for _, list := range headers["connection"] {
		for option := range strings.SplitSeq(list, ",") {
			options[lower(strings.Trim(option, " \t"))] = true
		}
	}
	n, _ := strconv.ParseInt(length, 10, 64)
	ends := options["close"] || minor == "0" && !options["keep-alive"]
	return fmt.Sprintf("%q", []any{method, path, query, minor, host, n, isChunked, expects && minor == "1", ends, options["upgrade"],
		one["origin"], one["authorization"], one["content-type"], one["if-match"], one["if-none-match"],
		one["upgrade"], one["sec-websocket-key"], one["sec-websocket-version"], strings.Join(headers["sec-websocket-protocol"], ",")}), true
}

var simpleSize = regexp.MustCompile(`^([0-9a-fA-F]{1,15})(;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n`)

// simpleChunks takes a whole chunked body apart, and returns what follows it.
func simpleChunks(b string) (data, rest string, ok bool) {
	for {
		line := simpleSize.FindStringSubmatch(b)
		if line == nil || len(line[0]) > MaxChunkLine {
			return "", "", false
		}
		size, _ := strconv.ParseUint(line[1], 16, 64)
		if b = b[len(line[0]):]; uint64(len(b)) < size+2 || b[size:size+2] != "\r\n" {
			return "", "", false
		}
		if size == 0 {
			return data, b[2:], true
		}
		data, b = data+b[:size], b[size+2:]
	}
}

func showHead(h *Head) string {
	return fmt.Sprintf("%q", []any{string(h.Method), string(h.Path), string(h.Query), strconv.Itoa(h.Minor), string(h.Host), h.Length, h.Chunked, h.Continue, h.Close, h.HopUpgrade,
		string(h.Origin), string(h.Authorization), string(h.ContentType), string(h.IfMatch), string(h.IfNoneMatch),
		string(h.Upgrade), string(h.WebSocketKey), string(h.WebSocketVersion), string(h.WebSocketProtocols)})
}
