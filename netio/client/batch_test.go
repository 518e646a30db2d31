package client_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"keyframe/codec"
	"keyframe/netio"
	"keyframe/netio/client"
)

// recorded is a client of a server that gives these answers, one to each command, and the commands.
func recorded(t *testing.T, o client.Options, answers ...string) (c *client.Client, sent <-chan string) {
	t.Helper()
	commands := make(chan string, len(answers))
	return dial(t, scripted(t, func(_ int, line string) (string, bool) {
		if len(commands) == cap(commands) {
			return "", true
		}
		commands <- line
		return answers[len(commands)-1], false
	}), o), commands
}

// TestBatchText: which commands a batch becomes.
func TestBatchText(t *testing.T) {
	c, sent := recorded(t, client.Options{},
		`{"SETEX_RSP":{"st":1,"k":"abcdef"}}`+"\n"+`{"SETEX_RSP":{"st":1,"k":"bcdefg"}}`+"\n",
		`{"SETEX_RSP":{"st":1,"k":"cdefgh"}}`+"\n", "", "", `{"PING_RSP":{"st":0}}`+"\n",
		`{"GET_RSP":{"st":3,"k":"abcdef"}}`+"\n", "", `{"PING_RSP":{"st":0}}`+"\n")
	var b client.Batch
	b.SetEx("abcdef", []byte("1"), time.Minute)
	b.SetEx("bcdefg", []byte("2"), time.Minute-1) // rounded up to the same millisecond
	b.SetEx("cdefgh", []byte("3"), time.Minute-time.Millisecond)
	b.Quiet = true
	b.Set("abcdef", []byte("4"))
	b.Add("bcdefg", []byte("5"))
	b.Get("abcdef")
	b.Remove("abcdef")
	want(t, "Do", c.Do(t.Context(), &b), nil)
	text := ""
	for len(sent) > 0 {
		text += <-sent
	}
	if text != `{"SETEX":{"ttl":60000,"pairs":{"abcdef":1,"bcdefg":2}}}
{"SETEX":{"ttl":59999,"pairs":{"cdefgh":3}}}
{"SETQ":{"abcdef":4}}
{"ADDQ":{"bcdefg":5}}
{"PING":{}}
{"GET":["abcdef"]}
{"RMVQ":["abcdef"]}
{"PING":{}}
` {
		t.Errorf("sent:\n%s", text)
	}
}

// TestBatchRefusals: what was answered before a refusal stays so, and of several refusals of quiet
// commands the first one is told.
func TestBatchRefusals(t *testing.T) {
	refusal := `{"SERVER_ERROR":{"s":3,"m":"no more"}}` + "\n"
	c, _ := recorded(t, client.Options{}, `{"GET_RSP":{"st":0,"abcdef":1}}`+"\n"+refusal, refusal, `{"SERVER_ERROR":{"s":3,"m":"nor this"}}`+"\n", `{"PING_RSP":{"st":0}}`+"\n")
	var b client.Batch
	b.Get("abcdef")
	b.Get("bcdefg")
	b.Get("cdefgh")
	var refused *client.ServerError
	if err := c.Do(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if b.Err(0) != nil || string(b.Value(0)) != "1" || !errors.As(b.Err(1), &refused) || !errors.As(b.Err(2), &refused) {
		t.Errorf("%v, %v, %v", b.Err(0), b.Err(1), b.Err(2))
	}
	b.Reset()
	b.Quiet = true
	b.Set("abcdef", []byte("1"))
	b.Add("abcdef", []byte("1"))
	if err := c.Do(t.Context(), &b); !errors.As(err, &refused) || refused.Message != "no more" {
		t.Error(err)
	}
}

// TestQuietTwins: two failures of the same key in a quiet batch are two elements'.
func TestQuietTwins(t *testing.T) {
	c := start(t, netio.Options{}, client.Options{})
	b := client.Batch{Quiet: true}
	for range 3 {
		b.Add("abcdef", []byte("1"))
	}
	if err := c.Do(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	// The first one succeeds. The two answers name no place, and are taken for the first two's.
	for i, err := range []error{client.ErrExists, client.ErrExists, nil} {
		if err == nil && b.Err(i) != nil || !errors.Is(b.Err(i), err) {
			t.Errorf("number %d: %v", i, b.Err(i))
		}
	}
}

// TestBatchLimit: one command that is too long refuses the batch, wherever it is.
func TestBatchLimit(t *testing.T) {
	c := start(t, netio.Options{}, client.Options{MaxFrameBytes: 4096})
	var b client.Batch
	b.Set("abcdef", client.String(strings.Repeat("x", 4096)))
	b.Add("bcdefg", []byte("1"))
	want(t, "Do", c.Do(t.Context(), &b), client.ErrTooLong)
	if n, err := c.Count(t.Context()); n != 0 || err != nil {
		t.Errorf("%d keys, %v", n, err)
	}
}

// TestCallsAreUsedAgain: an answer has nothing of an earlier one.
func TestCallsAreUsedAgain(t *testing.T) {
	var answers []string
	for range 20 {
		answers = append(answers, `{"SET_RSP":{"st":7,"k":"abcdef","m":"words"}}`+"\n", `{"SET_RSP":{"st":7,"k":"abcdef"}}`+"\n")
	}
	c, _ := recorded(t, client.Options{}, answers...)
	for i := range answers {
		var status *client.StatusError
		err := c.Set(t.Context(), "abcdef", []byte("1"))
		if !errors.As(err, &status) || (status.Message == "words") != (i%2 == 0) {
			t.Fatalf("number %d: %v", i, err)
		}
	}
}

// TestShortenedKey: a refusal for a key's length may name a part of the key.
func TestShortenedKey(t *testing.T) {
	key := strings.Repeat("k", 70_000)
	c, _ := recorded(t, client.Options{}, `{"SET_RSP":{"st":6,"k":"kkkkkk"}}`+"\n", `{"SET_RSP":{"st":6,"k":"kkkkkk"}}`+"\n")
	want(t, "Set", c.Set(t.Context(), key, []byte("1")), client.ErrKeyLength)
	var b client.Batch
	b.Set(key, []byte("1"))
	if err := c.Do(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if want(t, "Set", b.Err(0), client.ErrKeyLength); b.Status(0) != codec.StatusKeyLengthInvalid {
		t.Errorf("status %d", b.Status(0))
	}
}
