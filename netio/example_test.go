package netio_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"

	"keyframe/engine"
	"keyframe/netio"
)

// A server is started on an engine, which outlives it, and a client sends lines.
func Example() {
	// What APPEND and UPDATE make of a value, and what TAKE and SWAP can answer with.
	store, err := engine.New(engine.Options{Merge: netio.Merge, Readable: netio.Readable})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()
	srv, err := netio.New(store, netio.Options{
		Listen: []string{"127.0.0.1:0"}, // any free port: see Addrs
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := srv.Start(); err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Stop(context.Background())

	c, err := net.Dial("tcp", srv.Addrs()[0].String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	io.WriteString(c, `{"SET":{"user1234_name":"bob"}}`+"\n"+`{"GET":["user1234_name"]}`+"\n")
	answers := bufio.NewScanner(c)
	for range 2 {
		answers.Scan()
		fmt.Println(answers.Text())
	}
	// Output:
	// {"SET_RSP":{"st":1,"k":"user1234_name"}}
	// {"GET_RSP":{"st":0,"user1234_name":"bob"}}
}
