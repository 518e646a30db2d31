package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"keyframe/engine"
	"keyframe/netio"
	"keyframe/netio/client"
)

// serve starts a server for an example, on any free port.
func serve() (addr string, stop func()) {
	store, err := engine.New(engine.Options{Merge: netio.Merge, Readable: netio.Readable})
	if err != nil {
		panic(err)
	}
	srv, err := netio.New(store, netio.Options{Listen: []string{"127.0.0.1:0"}, AnyValues: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	if err := srv.Start(); err != nil {
		panic(err)
	}
	return srv.Addrs()[0].String(), func() {
		_ = srv.Stop(context.Background())
		_ = store.Close()
	}
}

// Many goroutines share one client: what they call at the same time leaves in one write.
func Example() {
	addr, stop := serve() // a server runs at 127.0.0.1:1987 if it is started without options
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, addr, client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	if err := c.Set(ctx, "user1234_name", client.String("bob")); err != nil {
		fmt.Println(err)
		return
	}
	name, err := c.Get(ctx, "user1234_name")
	fmt.Printf("%s %v\n", name, err)
	_, err = c.Get(ctx, "user5678_name")
	fmt.Println(errors.Is(err, client.ErrNotExist))
	// Output:
	// "bob" <nil>
	// true
}

func ExampleGetJSON() {
	addr, stop := serve()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, addr, client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	type user struct {
		Name string `json:"name"`
		Age  int    `json:"age"`
	}
	_ = client.SetJSON(ctx, c, "user:1234", user{"bob", 31}) // objects need --values any
	bob, err := client.GetJSON[user](ctx, c, "user:1234")
	fmt.Println(bob.Name, bob.Age, err)
	// Output: bob 31 <nil>
}

func ExampleClient_Do() {
	addr, stop := serve()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, addr, client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	var b client.Batch
	b.Set("user1234_name", client.String("bob"))
	b.Incr("visits", 1)
	b.Get("user1234_name")
	b.Get("nobody")
	if err := c.Do(ctx, &b); err != nil {
		fmt.Println(err)
		return
	}
	for i := range b.Len() {
		fmt.Printf("%s: %s, %v\n", b.Key(i), b.Value(i), b.Err(i))
	}
	// Output:
	// user1234_name: , <nil>
	// visits: 1, <nil>
	// user1234_name: "bob", <nil>
	// nobody: , keyframe: the key does not exist
}

func ExampleClient_Scan() {
	addr, stop := serve()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, addr, client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	for i := range 3 {
		_ = c.Set(ctx, fmt.Sprintf("user:%d", i), fmt.Append(nil, i*i))
	}
	for pair, err := range c.Scan(ctx, client.Query{Prefix: "user:", Values: true}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%s %s\n", pair.Key, pair.Value)
	}
	// Unordered output:
	// user:0 0
	// user:1 1
	// user:2 4
}

// A lock that frees itself, and that only its holder gives back.
func ExampleClient_RemoveIf() {
	addr, stop := serve()
	defer stop()
	ctx := context.Background()
	c, err := client.Dial(ctx, addr, client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	me, you := client.String("worker-1"), client.String("worker-2")
	fmt.Println(c.AddEx(ctx, "lock:job7", me, 30*time.Second))
	fmt.Println(c.AddEx(ctx, "lock:job7", you, 30*time.Second))
	fmt.Println(c.RemoveIf(ctx, "lock:job7", you))
	fmt.Println(c.RemoveIf(ctx, "lock:job7", me))
	// Output:
	// <nil>
	// keyframe: the key exists
	// keyframe: the key has another value
	// <nil>
}

// What may have run is told apart from what was not sent.
func ExampleConnError() {
	addr, stop := serve()
	ctx := context.Background()
	c, err := client.Dial(ctx, addr, client.Options{Outage: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	stop()
	var lost *client.ConnError
	for err == nil { // until the client has seen that the server is gone
		_, err = c.Incr(ctx, "visits", 1)
	}
	if errors.As(err, &lost) && !lost.MayHaveRun {
		fmt.Println("it can be done again, without counting twice")
	} else if errors.As(err, &lost) {
		fmt.Println("it may have counted")
	}
}
